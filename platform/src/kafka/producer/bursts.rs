//! A thread that hands records to librdkafka in bursts: the next when all of the last are
//! acknowledged.
//!
//! An idempotent producer of librdkafka has one request of a partition on its way at a time,
//! and while another could go it looks for the acknowledgement without a pause, with a whole
//! core. So nothing is given to it meanwhile. The more comes in the meantime, the larger is
//! the next burst, and the fewer requests has the broker to serve.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::delivery::{Answer, DeliveryError};
use super::{EnqueueError, ProducerSettings};
use crate::kafka::client;

/// Longest that a burst waits for the one before: a partition without a leader must not hold up
/// the others.
const LONGEST_HOLD: Duration = Duration::from_millis(50);

/// A record on its way into librdkafka.
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) key: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The thread's handle. When it is dropped the thread sends what waits, and ends when
/// everything has its answer.
pub(super) struct Bursts {
    shared: Arc<Shared>,
}

struct Shared {
    producer: ThreadedProducer<Context>,
    max_records: usize,
    max_bytes: usize,
}

/// What the thread, those who enqueue and librdkafka's reports share.
#[derive(Default)]
struct Context {
    broken: AtomicBool,
    /// Records without an answer, and their bytes. Raised under the lock of `waiting`.
    unanswered: AtomicUsize,
    unanswered_bytes: AtomicUsize,
    /// Those of them that librdkafka has.
    on_their_way: AtomicUsize,
    waiting: Mutex<Waiting>,
    /// Something waits, or the handle is gone.
    filled: Condvar,
    /// librdkafka has nothing.
    acknowledged: Condvar,
}

#[derive(Default)]
struct Waiting {
    records: Vec<Record>,
    /// The thread waits for `filled`.
    asleep: bool,
    closed: bool,
}

/// Where an answer goes.
struct Receiver {
    answer: oneshot::Sender<Answer>,
    bytes: usize,
}

impl Context {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, receiver: Receiver, answer: Answer) {
        let bytes = receiver.bytes;
        self.unanswered_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        // Nobody may wait for it any more.
        let _ = receiver.answer.send(answer);
        if self.on_their_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever saw another count under the lock waits by now.
            drop(self.waiting());
            self.acknowledged.notify_all();
        }
    }

    /// Waits, for `bound` at most, until librdkafka has nothing.
    fn wait_for_acknowledgements<'w>(
        &self,
        waiting: MutexGuard<'w, Waiting>,
        bound: Duration,
    ) -> MutexGuard<'w, Waiting> {
        let some = |_: &mut Waiting| self.on_their_way.load(Ordering::Acquire) > 0;
        let waited = self.acknowledged.wait_timeout_while(waiting, bound, some);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn note(&self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        if let Some(Code::Fatal | Code::Fenced) = error.rdkafka_error_code() {
            self.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&error);
        client::log_error(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Receiver>;

    fn delivery(&self, result: &DeliveryResult<'_>, receiver: Box<Receiver>) {
        let answer = match result {
            Ok(record) => Ok((record.partition(), record.offset())),
            Err((error, _)) => Err(DeliveryError::of(error)),
        };
        self.answer(*receiver, answer);
    }
}

impl Bursts {
    /// Makes the client and starts the thread.
    pub(super) fn start(
        config: &ClientConfig,
        settings: &ProducerSettings,
    ) -> Result<Self, KafkaError> {
        let shared = Arc::new(Shared {
            producer: config.create_with_context(Context::default())?,
            max_records: usize::try_from(settings.queue_messages).unwrap_or(usize::MAX),
            max_bytes: settings.queue_bytes,
        });
        let served = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("kafka-bursts".to_owned())
            .spawn(move || served.serve())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { shared })
    }

    pub(super) fn is_broken(&self) -> bool {
        self.shared.context().broken.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn break_it(&self) {
        self.shared.context().broken.store(true, Ordering::Relaxed);
    }

    /// Records without an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.shared.context().unanswered.load(Ordering::Relaxed)
    }

    /// The client, for questions to the brokers.
    pub(super) fn client(&self) -> &Client<impl ClientContext + use<>> {
        self.shared.producer.client()
    }

    /// Puts a record into the next burst.
    pub(super) fn push(&self, record: Record) -> Result<(), EnqueueError> {
        let (shared, bytes) = (&self.shared, record.bytes());
        let context = shared.context();
        let mut waiting = context.waiting();
        if context.unanswered.load(Ordering::Relaxed) >= shared.max_records
            || context.unanswered_bytes.load(Ordering::Relaxed) + bytes > shared.max_bytes
        {
            return Err(EnqueueError::QueueFull);
        }
        context.unanswered.fetch_add(1, Ordering::Relaxed);
        context.unanswered_bytes.fetch_add(bytes, Ordering::Relaxed);
        waiting.records.push(record);
        if std::mem::take(&mut waiting.asleep) {
            context.filled.notify_one();
        }
        Ok(())
    }

    /// Waits until everything has its answer. `false`: not all within `bound`.
    pub(super) fn flush(&self, bound: Duration) -> bool {
        let context = self.shared.context();
        let some = |_: &mut Waiting| self.unanswered() > 0;
        let waited = context
            .acknowledged
            .wait_timeout_while(context.waiting(), bound, some);
        drop(waited);
        self.unanswered() == 0
    }
}

impl Drop for Bursts {
    fn drop(&mut self) {
        let context = self.shared.context();
        context.waiting().closed = true;
        context.filled.notify_one();
    }
}

impl Record {
    /// For the limit of what waits.
    fn bytes(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

impl Shared {
    fn context(&self) -> &Context {
        self.producer.context()
    }

    fn serve(&self) {
        let context = self.context();
        while let Some(burst) = self.next_burst() {
            for record in burst {
                self.send(record);
            }
            drop(context.wait_for_acknowledgements(context.waiting(), LONGEST_HOLD));
        }
    }

    /// What waits by now, or the first that comes; nothing when there is no more to come and
    /// everything has its answer.
    fn next_burst(&self) -> Option<Vec<Record>> {
        let context = self.context();
        let mut waiting = context.waiting();
        while waiting.records.is_empty() && !waiting.closed {
            waiting.asleep = true;
            waiting = context
                .filled
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
        if !waiting.records.is_empty() {
            return Some(std::mem::take(&mut waiting.records));
        }
        // Each ends by `delivery.timeout.ms`.
        while context.on_their_way.load(Ordering::Acquire) > 0 {
            waiting = context.wait_for_acknowledgements(waiting, LONGEST_HOLD);
        }
        None
    }

    fn send(&self, record: Record) {
        let context = self.context();
        let receiver = Box::new(Receiver {
            bytes: record.bytes(),
            answer: record.answer,
        });
        let mut queued = BaseRecord::with_opaque_to(&record.topic, receiver)
            .key(&record.key)
            .payload(&record.payload);
        queued.headers = record.headers;
        context.on_their_way.fetch_add(1, Ordering::AcqRel);
        if let Err((error, refused)) = self.producer.send(queued) {
            context.note(&error);
            let answer = Err(DeliveryError::of(&error));
            context.answer(*refused.delivery_opaque, answer);
        }
    }
}
