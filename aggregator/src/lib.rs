//! Turns events into rollup deltas, exactly once.
//!
//! `session` reads records, has [`platform::kafka::admission`] judge them, adds them up in
//! an `accumulator`, and has the `publisher` put the admitted events, the sums, the refused
//! records and the input offsets into one Kafka transaction a flush. Nothing outlives a flush but the
//! ids of the last events, which are read again from the log after a restart.

mod accumulator;
mod config;
mod fault;
mod held;
mod partitions;
mod publisher;
mod refused;
mod session;
#[cfg(test)]
mod test_event;

use platform::http::health::ComponentHealth;
use platform::kafka::admission::Admission;
use platform::kafka::client::KafkaClientConfig;
use platform::kafka::provision::register;
use platform::kafka::registry::RegistryClient;
use platform::kafka::sessions::run_sessions;
use platform::lifecycle::Shutdown;
use schemas::Topics;
use schemas::codec::rollup_schema;
use tokio::runtime::Handle;

pub use config::AggregatorConfig;
use session::Session;

/// Runs until `shutdown`, then publishes what it holds and leaves the group.
///
/// # Errors
/// When it cannot work at all; what may pass is retried and shown by `health`.
pub async fn run(
    config: AggregatorConfig,
    health: ComponentHealth,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let registry = RegistryClient::connect(&config.kafka).map_err(anyhow::Error::msg)?;
    let session = Session {
        client: KafkaClientConfig::from(&config.kafka),
        topics: Topics::new(&config.kafka.topic_prefix),
        group: config.group(),
        transactional_id: config.transactional_id(),
        flush_interval: config.flush_interval,
        dedup_horizon: config.dedup_horizon,
        watermark_delay: config.watermark_delay,
        refusal_limit: config.refusal_limit,
        admission: Admission::new(registry.clone(), config.retention),
        runtime: Handle::current(),
        health: health.clone(),
    };
    run_sessions("aggregator", health, shutdown, move |shutdown| {
        let topic = session.topics.rollups();
        let schema_id = session
            .runtime
            .block_on(register(&registry, &topic, rollup_schema()))?;
        session.run(schema_id, shutdown)
    })
    .await
}
