//! The aggregator's settings.

use std::time::Duration;

use platform::config::{Env, KafkaConfig, ServiceIdentity, data_retention};

/// Settings of the aggregator.
#[derive(Debug, Clone)]
pub struct AggregatorConfig {
    /// Kafka and the registry.
    pub kafka: KafkaConfig,
    /// Tells this instance from others: part of the transactional id.
    pub identity: ServiceIdentity,
    /// `FLUSH_INTERVAL_MS`, default 50: the longest an event waits to be published.
    pub flush_interval: Duration,
    /// `DEDUP_HORIZON`, default `1h`: for how much log time an event's id is known, so that
    /// the same event sent again is not counted again.
    pub dedup_horizon: Duration,
    /// `DATA_RETENTION_DAYS`, default 90: older events are refused.
    pub retention: Duration,
}

impl AggregatorConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            kafka: KafkaConfig::from_env(env),
            identity: ServiceIdentity::from_env(env),
            flush_interval: env.millis(
                "FLUSH_INTERVAL_MS",
                Duration::from_millis(50),
                Duration::from_millis(1)..=Duration::from_secs(5),
            ),
            dedup_horizon: env.span(
                "DEDUP_HORIZON",
                Duration::from_secs(3600),
                Duration::from_secs(1)..=Duration::from_secs(7 * 86_400),
            ),
            retention: data_retention(env),
        }
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        format!("{}-aggregator", self.kafka.group_prefix)
    }

    /// Stable per instance, so that a restarted instance ends what it left open.
    pub fn transactional_id(&self) -> String {
        format!("{}-{}", self.group(), self.identity.instance_id)
    }
}
