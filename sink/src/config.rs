//! The settings of the sink.

use platform::{
    config::{DatabaseConfig, Env, KafkaConfig, aggregation_windows},
    kafka::refusals::RefusalLimit,
};
use schemas::Window;

/// The settings of the sink.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    /// Kafka and the registry.
    pub kafka: KafkaConfig,
    /// TimescaleDB.
    pub database: DatabaseConfig,
    /// `AGGREGATION_WINDOWS`, default all five: which rollups are kept. Shortest first.
    pub windows: Vec<Window>,
    /// `SINK_BATCH_RECORDS`, default 40 000: most records of one transaction. A batch only
    /// grows while records are there at once, so this matters when catching up, where deltas
    /// of the same row combine.
    pub batch_records: usize,
    /// `DEAD_LETTER_MAX_SHARE`, default 0.5, of the last `DEAD_LETTER_WINDOW`, default 1000,
    /// events: when the database refuses more of them, nothing is written until it does not.
    pub refusal_limit: RefusalLimit,
}

impl SinkConfig {
    /// Reads the settings.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            kafka: KafkaConfig::from_env(env),
            database: DatabaseConfig::from_env(env),
            windows: aggregation_windows(env),
            batch_records: env.number("SINK_BATCH_RECORDS", 40_000, 1..=1_000_000),
            refusal_limit: RefusalLimit::from_env(env),
        }
    }

    /// The consumer group, which is also the cursors' owner.
    pub(crate) fn group(&self) -> String {
        format!("{}-sink", self.kafka.group_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults() {
        let mut env = Env::from_pairs([
            ("KAFKA_BROKERS", "localhost:9092"),
            ("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
            ("DATABASE_URL", "postgres://flowmeter@localhost/flowmeter"),
        ]);
        let config = SinkConfig::from_env(&mut env);
        env.finish().unwrap();
        assert_eq!(config.windows, Window::ALL);
        assert_eq!(config.group(), "flowmeter-sink");
    }
}
