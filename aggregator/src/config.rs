//! The aggregator's settings.

use std::time::Duration;

use platform::config::{Env, KafkaConfig, ServiceIdentity, data_retention};
use platform::kafka::refusals::RefusalLimit;

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
    /// `WATERMARK_DELAY`, default `1m`: how much later than it happened an event may be put on
    /// its topic before windows count as complete without it. It counts all the same.
    pub watermark_delay: Duration,
    /// `DEAD_LETTER_MAX_SHARE`, default 0.5, of the last `DEAD_LETTER_WINDOW`, default 1000,
    /// records of a partition: when more of them are refused, it is not read on. 1: never.
    pub refusal_limit: RefusalLimit,
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
            watermark_delay: env.span(
                "WATERMARK_DELAY",
                Duration::from_secs(60),
                Duration::ZERO..=Duration::from_secs(86_400),
            ),
            refusal_limit: RefusalLimit::from_env(env),
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
