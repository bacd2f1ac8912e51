//! A topic of admitted events of workload W1.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use platform::{
    kafka::{
        producer::{EnqueueError, EventProducer, ProducerSettings},
        provision::register,
        registry::{RegistryClient, frame},
    },
    test_support::{kafka, required_env},
};
use schemas::{
    EventKind, Source, Timestamp, Topics,
    codec::{encode_event, event_schema},
};

use crate::harness::{Context, installation::Installation};

const PATIENCE: Duration = Duration::from_secs(60);
/// Records that wait for their acknowledgement at a time.
const IN_FLIGHT: usize = 10_000;

/// The topic of an installation, which goes with this value.
pub(super) struct Log {
    installation: Installation,
    /// How many.
    pub(super) events: u64,
    readings: AtomicU32,
}

impl Log {
    /// Writes `events` of them, as the aggregator does.
    ///
    /// # Errors
    /// If the brokers or the registry refuse.
    pub(super) async fn write(context: &Context, events: u64) -> anyhow::Result<Self> {
        let installation = Installation::new().await?;
        let topics = Topics::new(installation.prefix());
        let registry = RegistryClient::new(&required_env("SCHEMA_REGISTRY_URL"), PATIENCE)
            .map_err(anyhow::Error::msg)?;
        let kind = EventKind::CommandExecution;
        let schema = register(&registry, &topics.events(kind), event_schema(kind)).await?;
        let settings = ProducerSettings {
            delivery_timeout: PATIENCE,
            ..ProducerSettings::default()
        };
        let producer = EventProducer::new(&kafka(), &settings)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let log_time = Timestamp::from_millis(i64::try_from(now.as_millis())?)?;
        let (topic, mut workload) = (topics.admitted(), context.options.workload());
        let mut deliveries = Vec::with_capacity(IN_FLIGHT);
        for offset in 0..events {
            let draft = workload.draft();
            let event = workload.event(&draft);
            let value = frame(schema, &encode_event(&event).map_err(anyhow::Error::msg)?);
            let source = Source {
                kind,
                partition: 0,
                offset: offset.cast_signed(),
                log_time,
            };
            let (key, source) = (event.key(), source.to_string());
            let headers = [(Source::HEADER, source.as_bytes())];
            let delivery = loop {
                match producer.enqueue(&topic, key.as_bytes(), &value, &headers) {
                    Err(EnqueueError::QueueFull) => tokio::task::yield_now().await,
                    other => break other.context("an event is not taken")?,
                }
            };
            deliveries.push(delivery);
            if deliveries.len() == IN_FLIGHT || offset + 1 == events {
                for delivery in deliveries.drain(..) {
                    delivery.await.context("an event is not written")?;
                }
            }
        }
        Ok(Self {
            installation,
            events,
            readings: AtomicU32::new(0),
        })
    }

    /// The names by which a sink reads it, from its beginning, as environment variables.
    pub(super) fn reading(&self) -> [(&'static str, String); 2] {
        let reading = self.readings.fetch_add(1, Ordering::Relaxed);
        [
            ("KAFKA_TOPIC_PREFIX", self.installation.prefix().to_owned()),
            (
                "KAFKA_GROUP_PREFIX",
                self.installation.name(&format!("reading-{reading}")),
            ),
        ]
    }
}
