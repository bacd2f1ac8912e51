//! The gateway's configuration.

use std::time::Duration;

use platform::config::{Env, HttpConfig, IntakeConfig, JwtConfig, KafkaConfig, data_retention};

const LONGEST_PUBLISH: Duration = Duration::from_secs(10);
const SHORTEST_PUBLISH: Duration = Duration::from_millis(100);

/// What the gateway needs to know.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where the events go.
    pub kafka: KafkaConfig,
    /// Which tokens are believed.
    pub jwt: JwtConfig,
    /// `MAX_BATCH_SIZE`, default 1000: the most events of one batch, all kinds together.
    pub max_batch_size: usize,
    /// `DATA_RETENTION_DAYS`, default 90: events older than that are refused.
    pub retention: Duration,
    /// `PUBLISH_TIMEOUT_MS`, below `REQUEST_TIMEOUT_MS`; default half of that, at most 10 s:
    /// how long the broker may take to acknowledge.
    pub publish_timeout: Duration,
    /// How much is taken in at once.
    pub intake: IntakeConfig,
}

impl GatewayConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let request_timeout = HttpConfig::from_env(env).request_timeout;
        Self {
            kafka: KafkaConfig::from_env(env),
            jwt: JwtConfig::from_env(env),
            max_batch_size: env.number("MAX_BATCH_SIZE", 1000, 1..=10_000),
            retention: data_retention(env),
            publish_timeout: publish_timeout(env, request_timeout),
            intake: IntakeConfig::from_env(env),
        }
    }
}

fn publish_timeout(env: &mut Env, request_timeout: Duration) -> Duration {
    let default = (request_timeout / 2).clamp(SHORTEST_PUBLISH, LONGEST_PUBLISH);
    let range = SHORTEST_PUBLISH..=Duration::from_secs(300);
    let timeout = env.millis("PUBLISH_TIMEOUT_MS", default, range);
    // Otherwise a client would be told of a timeout and never of what came of its event.
    if timeout >= request_timeout {
        env.fault("PUBLISH_TIMEOUT_MS", "must be less than REQUEST_TIMEOUT_MS");
    }
    timeout
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<GatewayConfig, String> {
        let required = [
            ("KAFKA_BROKERS", "127.0.0.1:9092"),
            ("SCHEMA_REGISTRY_URL", "http://127.0.0.1:8081"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ];
        let mut env = Env::from_pairs(required.iter().chain(pairs).copied());
        let config = GatewayConfig::from_env(&mut env);
        env.finish().map(|()| config).map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults() {
        let config = read(&[]).unwrap();
        assert_eq!(
            (config.max_batch_size, config.retention.as_secs()),
            (1000, 90 * 86_400)
        );
        assert_eq!(config.publish_timeout, Duration::from_secs(10));
    }

    #[test]
    fn the_broker_has_less_time_than_the_request() {
        let config = read(&[("REQUEST_TIMEOUT_MS", "4000")]).unwrap();
        assert_eq!(config.publish_timeout, Duration::from_secs(2));
        let fault = read(&[
            ("REQUEST_TIMEOUT_MS", "4000"),
            ("PUBLISH_TIMEOUT_MS", "4000"),
        ]);
        assert!(fault.unwrap_err().contains("PUBLISH_TIMEOUT_MS"));
        let fault = read(&[("MAX_BATCH_SIZE", "0")]);
        assert!(fault.unwrap_err().contains("MAX_BATCH_SIZE"));
    }
}
