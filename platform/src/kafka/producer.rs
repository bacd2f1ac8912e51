//! The gateway's producer: a record is accepted when every in-sync replica has it.
//!
//! librdkafka's idempotent producer can end in a fatal error (an epoch lost to a
//! broker's truncated state, say), after which that instance refuses
//! everything. A gateway must not need a restart for it, so the instance sits
//! behind a lock as a *generation*: the first caller that meets a broken one puts
//! a new one in its place. The old one lives on in a reaper thread until its last
//! delivery report is in. A record resent across generations may be in the log
//! twice; admission removes it by its `event_id`.

mod delivery;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

pub use self::delivery::{Delivery, DeliveryError};
use super::client::{self, KafkaClientConfig};

/// How old an answer of [`EventProducer::healthy`] may be.
const HEALTH_TTL: Duration = Duration::from_secs(1);

/// Limits of the producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSettings {
    /// Longest from [`EventProducer::enqueue`] to an answer; keep it below the HTTP timeout.
    pub delivery_timeout: Duration,
    /// How long a batch waits for company.
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
            linger: Duration::from_millis(5),
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
    /// Refused for another reason, such as an unknown topic.
    #[error("Kafka's client refuses the record: {0}")]
    Refused(String),
}

/// An idempotent producer with bounded queues that replaces itself when broken.
pub struct EventProducer {
    config: ClientConfig,
    delivery_timeout: Duration,
    current: RwLock<Arc<Generation>>,
    health: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

struct Generation {
    producer: FutureProducer<EventContext>,
    broken: Arc<AtomicBool>,
}

/// Logs, and notes a fatal error.
struct EventContext {
    broken: Arc<AtomicBool>,
}

impl ClientContext for EventContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.broken.store(true, Ordering::Relaxed);
        }
        client::log_error(&error, reason);
    }
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
        let first = Generation::start(&config)?;
        Ok(Self {
            config,
            delivery_timeout: settings.delivery_timeout,
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
        let generation = self.current();
        match generation.enqueue(topic, key, payload, headers) {
            Err(EnqueueError::Fatal(reason)) => self
                .replace(&generation, &reason)?
                .enqueue(topic, key, payload, headers),
            other => other,
        }
    }

    /// Whether the present instance met a fatal error and nobody has replaced it yet.
    pub fn is_broken(&self) -> bool {
        self.current().broken.load(Ordering::Relaxed)
    }

    /// Records queued or on their way.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.current().producer.in_flight_count()).unwrap_or_default()
    }

    /// Waits until everything queued has its answer. `false`: not all within `bound`.
    pub async fn flush(&self, bound: Duration) -> bool {
        let generation = self.current();
        let flushed = tokio::task::spawn_blocking(move || generation.producer.flush(bound));
        matches!(flushed.await, Ok(Ok(())))
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
        let generation = self.current();
        let asked = tokio::task::spawn_blocking(move || {
            generation
                .producer
                .client()
                .fetch_metadata(None, timeout)
                .is_ok()
        });
        let healthy = asked.await.unwrap_or(false);
        *last = Some((Instant::now(), healthy));
        healthy
    }

    fn current(&self) -> Arc<Generation> {
        // A poisoned lock still holds a whole generation.
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts a new generation in the place of `broken`, unless another caller already has.
    fn replace(
        &self,
        broken: &Arc<Generation>,
        reason: &str,
    ) -> Result<Arc<Generation>, EnqueueError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, broken) {
            return Ok(current.clone());
        }
        tracing::error!(reason, "the Kafka producer is broken and gets replaced");
        let new = Generation::start(&self.config)
            .map_err(|error| EnqueueError::Fatal(error.to_string()))?;
        let old = std::mem::replace(&mut *current, Arc::new(new));
        let new = current.clone();
        drop(current);
        reap(old, self.delivery_timeout);
        Ok(new)
    }
}

/// Keeps a broken generation until its deliveries are answered. Its end joins a
/// thread, which is nothing for an async worker to wait for.
fn reap(old: Arc<Generation>, bound: Duration) {
    let reaper = std::thread::Builder::new().name("kafka-producer-reaper".to_owned());
    let spawned = reaper.spawn(move || {
        if let Err(error) = old.producer.flush(bound) {
            tracing::warn!(%error, "the replaced Kafka producer still had records without an answer");
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread to end a broken Kafka producer");
    }
}

impl Generation {
    fn start(config: &ClientConfig) -> Result<Self, KafkaError> {
        let broken = Arc::new(AtomicBool::new(false));
        let context = EventContext {
            broken: broken.clone(),
        };
        Ok(Self {
            producer: config.create_with_context(context)?,
            broken,
        })
    }

    fn enqueue(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: &[(&str, &[u8])],
    ) -> Result<Delivery, EnqueueError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(EnqueueError::Fatal("an earlier fatal error".to_owned()));
        }
        let mut record = FutureRecord::to(topic).key(key).payload(payload);
        if !headers.is_empty() {
            record = record.headers(owned_headers(
                headers.iter().map(|(name, value)| (*name, Some(*value))),
            ));
        }
        match self.producer.send_result(record) {
            Ok(future) => Ok(Delivery::new(future)),
            Err((error, _)) => Err(enqueue_error(&error)),
        }
    }
}

fn enqueue_error(error: &KafkaError) -> EnqueueError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => EnqueueError::QueueFull,
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            EnqueueError::TooLarge
        }
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced) => {
            EnqueueError::Fatal(error.to_string())
        }
        _ => EnqueueError::Refused(error.to_string()),
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
