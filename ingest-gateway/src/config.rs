//! The gateway's configuration.

use std::{ops::RangeInclusive, time::Duration};

use platform::config::{
    DatabaseConfig, Env, HttpConfig, IntakeConfig, JwtConfig, KafkaConfig, RateLimitConfig,
    data_retention,
};

use crate::receipts::WaitLimits;

const LONGEST_PUBLISH: Duration = Duration::from_secs(10);
const SHORTEST_PUBLISH: Duration = Duration::from_millis(100);
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
const WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// Left for the answer itself, after waiting.
const LONGEST_MARGIN: Duration = Duration::from_secs(1);

/// What the gateway needs to know.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where the events go.
    pub kafka: KafkaConfig,
    /// Which tokens are believed.
    pub jwt: JwtConfig,
    /// How much may come from whom.
    pub rate_limits: RateLimitConfig,
    /// `MAX_BATCH_SIZE`, default 1000: the most events of one batch, all kinds together.
    pub max_batch_size: usize,
    /// `DATA_RETENTION_DAYS`, default 90: events older than that are refused.
    pub retention: Duration,
    /// `PUBLISH_TIMEOUT_MS`, below `REQUEST_TIMEOUT_MS`; default half of that, at most 10 s:
    /// how long the broker may take to acknowledge.
    pub publish_timeout: Duration,
    /// `DATABASE_URL` or `DB_HOST` and so on, optional: with a database the gateway tells
    /// whether events are stored. It is read as the query API's role, on two connections.
    pub database: Option<DatabaseConfig>,
    /// `WAIT_STORED_MS`, default 5000: how long `?wait=stored` waits at most.
    pub wait_stored: Duration,
    /// How long any request may wait, from its head on: `REQUEST_TIMEOUT_MS` less a margin.
    pub longest_wait: Duration,
    /// `RECEIPTS_KEPT`, default 50 000: the most receipts in memory, in about 200
    /// bytes each; none is kept longer than an hour.
    pub receipts_kept: u64,
    /// `IDEMPOTENCY_KEYS_KEPT`, default 100 000: the most keys remembered, in about 400
    /// bytes each; none is remembered longer than a day.
    pub idempotency_keys_kept: u64,
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
            rate_limits: RateLimitConfig::from_env(env),
            max_batch_size: env.number("MAX_BATCH_SIZE", 1000, 1..=10_000),
            retention: data_retention(env),
            publish_timeout: publish_timeout(env, request_timeout),
            database: database(env),
            wait_stored: env.millis("WAIT_STORED_MS", DEFAULT_WAIT, WAITS),
            longest_wait: request_timeout - (request_timeout / 10).min(LONGEST_MARGIN),
            receipts_kept: env.number("RECEIPTS_KEPT", 50_000, 1..=100_000_000),
            idempotency_keys_kept: env.number("IDEMPOTENCY_KEYS_KEPT", 100_000, 1..=100_000_000),
            intake: IntakeConfig::from_env(env),
        }
    }

    pub(crate) fn wait_limits(&self) -> WaitLimits {
        WaitLimits {
            default: self.wait_stored,
            longest: self.longest_wait,
        }
    }
}

/// An address that is given must be sound; none at all is no fault.
fn database(env: &mut Env) -> Option<DatabaseConfig> {
    let given = ["DATABASE_URL", "DB_HOST"].map(|name| env.optional(name).is_some());
    given.contains(&true).then(|| DatabaseConfig::from_env(env))
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
        assert!(config.database.is_none());
        let (default, longest) = (Duration::from_secs(5), Duration::from_secs(29));
        assert_eq!(config.wait_limits(), WaitLimits { default, longest });
        assert_eq!(
            (config.receipts_kept, config.idempotency_keys_kept),
            (50_000, 100_000)
        );
    }

    #[test]
    fn a_database_is_optional_and_yet_must_be_sound_when_named() {
        let url = "postgres://u:p@h/d";
        assert!(read(&[("DATABASE_URL", url)]).unwrap().database.is_some());
        assert!(read(&[("DB_HOST", "h")]).unwrap().database.is_some());
        let fault = read(&[("DATABASE_URL", "http://h"), ("WAIT_STORED_MS", "0")]);
        let fault = fault.unwrap_err();
        for name in ["DATABASE_URL", "WAIT_STORED_MS"] {
            assert!(fault.contains(name), "{fault}");
        }
    }

    #[test]
    fn a_wait_ends_before_the_request_does() {
        let config = read(&[("REQUEST_TIMEOUT_MS", "1000")]).unwrap();
        assert_eq!(config.longest_wait, Duration::from_millis(900));
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
