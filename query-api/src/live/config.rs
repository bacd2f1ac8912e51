//! The settings of live views.

use std::time::Duration;

use platform::config::{Env, KafkaConfig};

/// The settings of live views.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    /// Kafka and the registry: the log of rollup deltas.
    pub kafka: KafkaConfig,
    /// `LIVE_HORIZON`, default `1d`: how far back the log is read at start. What is shorter
    /// makes a start cheaper, and the windows of an hour and a day wait longer until their
    /// buckets are whole.
    pub horizon: Duration,
    /// `LIVE_MAX_ROWS`, default 300 000: rollups held in memory, of all organizations and
    /// windows, about 400 bytes each. Beyond, the largest organization's oldest buckets are let
    /// go.
    pub max_rows: usize,
    /// `LIVE_MAX_CONNECTIONS`, default 2000: streams of this instance.
    pub max_connections: usize,
    /// `LIVE_MAX_ORGANIZATION_CONNECTIONS`, default 1000: those of one organization.
    pub max_organization_connections: usize,
}

impl LiveConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            kafka: KafkaConfig::from_env(env),
            horizon: env.span("LIVE_HORIZON", DAY, Duration::from_secs(2 * 3600)..=7 * DAY),
            max_rows: env.number("LIVE_MAX_ROWS", 300_000, 1000..=100_000_000),
            max_connections: env.number("LIVE_MAX_CONNECTIONS", 2000, 1..=1_000_000),
            max_organization_connections: env.number(
                "LIVE_MAX_ORGANIZATION_CONNECTIONS",
                1000,
                1..=1_000_000,
            ),
        }
    }
}
