//! The gateway's producer: a record is accepted when every in-sync replica has it.
//!
//! librdkafka's idempotent producer can end in a fatal error (an epoch lost to a
//! broker's truncated state, say), after which that instance refuses
//! everything. A gateway must not need a restart for it, so the instance sits
//! behind a lock: the first caller that meets a broken one puts a new one in its
//! place. The old one's thread lives on until its last delivery report is in. A
//! record resent across instances may be in the log twice; admission removes it by
//! its `event_id`.

mod bursts;
mod delivery;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use tokio::sync::oneshot;

use self::bursts::{Bursts, Record};
pub use self::delivery::{Delivery, DeliveryError};
use super::client::KafkaClientConfig;

/// How old an answer of [`EventProducer::healthy`] may be.
const HEALTH_TTL: Duration = Duration::from_secs(1);

/// Limits of the producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSettings {
    /// Longest from [`EventProducer::enqueue`] to an answer; keep it below the HTTP timeout.
    pub delivery_timeout: Duration,
    /// How long the first record of a burst waits for the others.
    pub linger: Duration,
    /// Records waiting at most.
    pub queue_messages: u32,
    /// Bytes waiting at most.
    pub queue_bytes: usize,
    /// Largest record, in bytes; the topic's `max.message.bytes` must allow it.
    pub message_bytes: usize,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            delivery_timeout: Duration::from_secs(10),
            linger: Duration::from_millis(1),
            queue_messages: 100_000,
            queue_bytes: 64 << 20,
            message_bytes: 1 << 20,
        }
    }
}

/// Why a record was not even queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// The queue is full: the brokers are slow or away. Try again later.
    #[error("the producer's queue is full")]
    QueueFull,
    /// The record is larger than the producer or the topic allows.
    #[error("the record is too large for Kafka")]
    TooLarge,
    /// The producer is broken and a new one could not be made.
    #[error("the producer is broken: {0}")]
    Fatal(String),
}

/// An idempotent producer with bounded queues that replaces itself when broken.
pub struct EventProducer {
    config: ClientConfig,
    settings: ProducerSettings,
    current: RwLock<Arc<Bursts>>,
    health: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl EventProducer {
    /// Makes the producer. Needs no broker: connecting happens behind.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn new(
        client: &KafkaClientConfig,
        settings: &ProducerSettings,
    ) -> Result<Self, KafkaError> {
        let mut config = client.base();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // Java's: direct producers put a key into the same partition.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", settings.linger.as_millis().to_string())
            .set(
                "delivery.timeout.ms",
                settings.delivery_timeout.as_millis().to_string(),
            )
            .set(
                "queue.buffering.max.messages",
                settings.queue_messages.to_string(),
            )
            .set(
                "queue.buffering.max.kbytes",
                (settings.queue_bytes / 1024).to_string(),
            )
            .set("message.max.bytes", settings.message_bytes.to_string());
        let first = Bursts::start(&config, settings)?;
        Ok(Self {
            config,
            settings: settings.clone(),
            current: RwLock::new(Arc::new(first)),
            health: tokio::sync::Mutex::new(None),
        })
    }

    /// Queues a record, without waiting. The answer to the [`Delivery`] says
    /// whether and where it is in the log.
    ///
    /// # Errors
    /// See [`EnqueueError`]; the record is certainly not in the log then.
    pub fn enqueue(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: &[(&str, &[u8])],
    ) -> Result<Delivery, EnqueueError> {
        if key.len() + payload.len() > self.settings.message_bytes {
            return Err(EnqueueError::TooLarge);
        }
        let mut bursts = self.current();
        if bursts.is_broken() {
            bursts = self.replace(&bursts)?;
        }
        let (answer, delivery) = oneshot::channel();
        let headers = headers.iter().map(|(name, value)| (*name, Some(*value)));
        bursts.push(Record {
            topic: topic.to_owned(),
            key: key.to_owned(),
            payload: payload.to_owned(),
            headers: (headers.len() > 0).then(|| owned_headers(headers)),
            answer,
        })?;
        Ok(Delivery::new(delivery))
    }

    /// Whether the present instance met a fatal error and nobody has replaced it yet.
    pub fn is_broken(&self) -> bool {
        self.current().is_broken()
    }

    /// Records queued or on their way.
    pub fn in_flight(&self) -> usize {
        self.current().unanswered()
    }

    /// Waits until everything queued has its answer. `false`: not all within `bound`.
    pub async fn flush(&self, bound: Duration) -> bool {
        let bursts = self.current();
        let flushed = tokio::task::spawn_blocking(move || bursts.flush(bound));
        flushed.await.unwrap_or(false)
    }

    /// Whether the brokers answer a metadata request within `timeout`. Asked at
    /// most once a second, however many call.
    pub async fn healthy(&self, timeout: Duration) -> bool {
        let mut last = self.health.lock().await;
        if let Some((at, healthy)) = *last
            && at.elapsed() < HEALTH_TTL
        {
            return healthy;
        }
        let bursts = self.current();
        let asked = tokio::task::spawn_blocking(move || {
            bursts.client().fetch_metadata(None, timeout).is_ok()
        });
        let healthy = asked.await.unwrap_or(false);
        *last = Some((Instant::now(), healthy));
        healthy
    }

    fn current(&self) -> Arc<Bursts> {
        // A poisoned lock still holds a whole instance.
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts a new instance in the place of `broken`, unless another caller already has.
    fn replace(&self, broken: &Arc<Bursts>) -> Result<Arc<Bursts>, EnqueueError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, broken) {
            tracing::error!("the Kafka producer is broken and gets replaced");
            let new = Bursts::start(&self.config, &self.settings)
                .map_err(|error| EnqueueError::Fatal(error.to_string()))?;
            *current = Arc::new(new);
        }
        Ok(current.clone())
    }
}

/// Headers in the client library's form.
pub(super) fn owned_headers<'a>(
    headers: impl ExactSizeIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.fold(empty, |owned, (key, value)| {
        owned.insert(Header { key, value })
    })
}

#[cfg(test)]
mod tests;
