//! A producer of transactions: records, and the aggregator's input offsets, all or nothing.
//!
//! Synchronous, for a thread of its owner's own. librdkafka's rules decide what an
//! error asks for: try again, abort and read again, or end this producer.
//!
//! Three things the client libraries do are worked around here. After a commit
//! the broker needs a moment to write its marks, and meanwhile answers
//! "concurrent transactions" to the next transaction's first request; librdkafka
//! then pauses for `retry.backoff.ms`, 100 by default. rust-rdkafka's
//! `commit_transaction` waits for outstanding records in slices of a full 100 ms,
//! so the records are seen out before, in slices of 1 ms. Its
//! `abort_transaction` needs delivery reports to be served meanwhile, hence the
//! polling thread of `ThreadedProducer`.
//!
//! And while a request of a partition is on its way librdkafka waits for the next to
//! be allowed without a pause, with a whole core. So records are held here until those
//! before them are acknowledged ([`held`]).

mod held;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use self::held::{Held, Outgoing};
use super::client::{self, KafkaClientConfig};
use super::producer::owned_headers;

const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Of so many held records it is looked at one whether they may go: asking takes locks of
/// librdkafka.
const LOOK_EVERY: usize = 16;
/// Bytes held at most.
const MAX_HELD: usize = 4 << 20;

/// What a failed step of a transaction asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Retriable, but not cured within the bound. The same step may be tried
    /// again; after a failed commit, only the commit.
    #[error("Kafka transaction, still failing after retries: {0}")]
    RetriesExhausted(String),
    /// Call [`TransactionalProducer::abort`], go back to the committed offsets, and
    /// begin anew. After a record that the broker refused, the next transaction may
    /// want the same once more, until the client has got a new epoch.
    #[error("Kafka transaction, to be aborted: {0}")]
    Abortable(String),
    /// Like [`Abortable`](Self::Abortable): the group was divided anew between asking for its
    /// metadata and the commit. The member is still one of the group.
    #[error("Kafka transaction, to be aborted after a rebalance: {0}")]
    Rebalanced(String),
    /// Another producer with this transactional id, or another member of the
    /// group, has taken over. Make a new producer, or end.
    #[error("Kafka transaction, fenced by a successor: {0}")]
    Fenced(String),
    /// This producer is of no more use. Make a new one.
    #[error("Kafka transaction, fatal: {0}")]
    Fatal(String),
}

/// One transactional producer. Not shared: begin, send, commit, in this order.
pub struct TransactionalProducer {
    producer: ThreadedProducer<TransactionContext>,
    held: Mutex<Held>,
    timeout: Duration,
}

/// Notes the first record that could not be delivered.
#[derive(Default)]
struct TransactionContext {
    failure: Mutex<Option<KafkaError>>,
}

impl TransactionContext {
    fn failure(&self) -> MutexGuard<'_, Option<KafkaError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for TransactionContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }
}

impl ProducerContext for TransactionContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failure().get_or_insert_with(|| error.clone());
        }
    }
}

impl TransactionalProducer {
    /// Makes a producer and registers its id, which fences an earlier one of the
    /// same id and ends its open transaction.
    ///
    /// `timeout` is the transaction's, after which the broker aborts it, and
    /// bounds each call here.
    ///
    /// # Errors
    /// [`TransactionError::RetriesExhausted`] when the brokers do not answer;
    /// [`TransactionError::Fatal`] when a setting or a permission is wrong.
    pub fn new(
        client: &KafkaClientConfig,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Self, TransactionError> {
        let mut config = client.base();
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", timeout.as_millis().to_string())
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            // A flush is sent as a burst: a moment is enough for batches to fill.
            .set("linger.ms", "1")
            .set("retry.backoff.ms", "5")
            // A dead letter holds a whole record and more: the topic's limit is to decide.
            .set("message.max.bytes", (8 << 20).to_string())
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", (64 << 10).to_string());
        let producer: ThreadedProducer<TransactionContext> = config
            .create_with_context(TransactionContext::default())
            .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        let deadline = Instant::now() + timeout;
        retry(deadline, |left| producer.init_transactions(left))?;
        Ok(Self {
            producer,
            held: Mutex::default(),
            timeout,
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub fn begin(&self) -> Result<(), TransactionError> {
        *self.producer.context().failure() = None;
        self.producer
            .begin_transaction()
            .map_err(|error| classify(&error).into_error())
    }

    /// Puts a record into the open transaction. Waits while the queue is full.
    /// What cannot be delivered shows at a later call or at [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`TransactionError::RetriesExhausted`] when the queue stays full,
    /// [`TransactionError::Abortable`] when a record can never be sent.
    pub fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), TransactionError> {
        self.send_to(topic, None, key, payload, headers)
    }

    /// [`send`](Self::send), to a certain partition.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_to(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), TransactionError> {
        let mut held = self.held();
        held.push(Outgoing {
            topic,
            partition,
            key,
            payload,
            headers: (!headers.is_empty()).then(|| owned_headers(headers.iter().copied())),
        });
        // The first goes at once, and has its partition made one of the transaction meanwhile.
        let looks = held.len() % LOOK_EVERY == 1;
        let may_go = held.bytes() >= MAX_HELD || looks && self.producer.in_flight_count() == 0;
        if may_go {
            held.hand_over(|record| self.queue(record))?;
        }
        Ok(())
    }

    /// Puts what is held on its way, unless records before it still are: for when nothing
    /// follows at the moment.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_off(&self) -> Result<(), TransactionError> {
        let mut held = self.held();
        if held.len() > 0 && self.producer.in_flight_count() == 0 {
            held.hand_over(|record| self.queue(record))?;
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a record to librdkafka. After an error this transaction cannot be committed any
    /// more, since the record is in no hand.
    fn queue(&self, outgoing: Outgoing<'_>) -> Result<(), TransactionError> {
        let mut full_since = None;
        let mut record = BaseRecord::<[u8], [u8]>::to(outgoing.topic);
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.payload = outgoing.payload;
        record.headers = outgoing.headers;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, returned)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    let since = full_since.get_or_insert_with(Instant::now);
                    if !full || since.elapsed() >= self.timeout {
                        let failed = if full {
                            TransactionError::RetriesExhausted(error.to_string())
                        } else {
                            send_error(&error)
                        };
                        self.producer.context().failure().get_or_insert(error);
                        return Err(failed);
                    }
                    record = returned;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    /// Commits the records together with the offsets read so far (each the next
    /// to read), on behalf of the consumer that `group` describes.
    ///
    /// # Errors
    /// See [`TransactionError`]. After [`TransactionError::RetriesExhausted`] the
    /// outcome is open: call `commit` again with the same offsets, or make a new
    /// producer, which settles it.
    pub fn commit(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), TransactionError> {
        let deadline = Instant::now() + self.timeout;
        self.hand_over()?;
        if offsets.count() > 0 {
            retry(deadline, |left| {
                self.producer
                    .send_offsets_to_transaction(offsets, group, left)
            })?;
        }
        self.commit_until(deadline)
    }

    /// Commits the records of a transaction that read nothing.
    ///
    /// # Errors
    /// Like [`commit`](Self::commit).
    pub fn commit_records(&self) -> Result<(), TransactionError> {
        self.hand_over()?;
        self.commit_until(Instant::now() + self.timeout)
    }

    /// Gives librdkafka all that is held.
    fn hand_over(&self) -> Result<(), TransactionError> {
        self.held().hand_over(|record| self.queue(record))
    }

    fn commit_until(&self, deadline: Instant) -> Result<(), TransactionError> {
        self.drain(deadline)?;
        retry(deadline, |left| self.producer.commit_transaction(left))
    }

    /// Gives up the open transaction: nothing of it will be read.
    ///
    /// # Errors
    /// [`TransactionError::Fenced`] or [`TransactionError::Fatal`]: make a new producer;
    /// [`TransactionError::RetriesExhausted`]: try again.
    pub fn abort(&self) -> Result<(), TransactionError> {
        let deadline = Instant::now() + self.timeout;
        self.held().clear();
        retry(deadline, |left| self.producer.abort_transaction(left))?;
        // Reports of purged records must not be taken for the next transaction's.
        self.wait_for_reports(deadline)
    }

    /// Waits until the broker has every record of the open transaction.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    #[cfg(any(test, feature = "test-support"))]
    pub fn flush(&self) -> Result<(), TransactionError> {
        self.hand_over()?;
        self.drain(Instant::now() + self.timeout)
    }

    /// Waits until every record has its report, and looks for a failed one.
    fn drain(&self, deadline: Instant) -> Result<(), TransactionError> {
        self.wait_for_reports(deadline)?;
        let failure = self.producer.context().failure().clone();
        failure.map_or(Ok(()), |error| Err(send_error(&error)))
    }

    /// A record counts as in flight until its report has been through the context.
    fn wait_for_reports(&self, deadline: Instant) -> Result<(), TransactionError> {
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(TransactionError::RetriesExhausted(
                    "records without an acknowledgement".to_owned(),
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// What librdkafka says about an error of a transactional call.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Retry(String),
    Other(TransactionError),
}

impl Verdict {
    fn into_error(self) -> TransactionError {
        match self {
            Self::Retry(reason) => TransactionError::RetriesExhausted(reason),
            Self::Other(error) => error,
        }
    }
}

/// The order is librdkafka's own advice: fatal first, then abortable, then retriable.
fn classify(error: &KafkaError) -> Verdict {
    let reason = error.to_string();
    let KafkaError::Transaction(transaction) = error else {
        // `commit_transaction` flushes first, and that can only run out of time.
        return match error {
            KafkaError::Flush(_) => Verdict::Retry(reason),
            _ => Verdict::Other(TransactionError::Fatal(reason)),
        };
    };
    if is_fencing(transaction.code()) {
        Verdict::Other(TransactionError::Fenced(reason))
    } else if transaction.is_fatal() {
        Verdict::Other(TransactionError::Fatal(reason))
    } else if transaction.txn_requires_abort() {
        Verdict::Other(if is_of_rebalance(transaction.code()) {
            TransactionError::Rebalanced(reason)
        } else {
            TransactionError::Abortable(reason)
        })
    } else if transaction.is_retriable() {
        Verdict::Retry(reason)
    } else {
        Verdict::Other(TransactionError::Fatal(reason))
    }
}

fn is_fencing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
    )
}

fn is_of_rebalance(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::IllegalGeneration | Code::RebalanceInProgress)
}

fn send_error(error: &KafkaError) -> TransactionError {
    let reason = error.to_string();
    match error.rdkafka_error_code() {
        Some(code) if is_fencing(code) => TransactionError::Fenced(reason),
        Some(RDKafkaErrorCode::Fatal) => TransactionError::Fatal(reason),
        _ => TransactionError::Abortable(reason),
    }
}

/// Repeats a call while librdkafka says that it may be repeated, until the deadline.
fn retry(
    deadline: Instant,
    mut call: impl FnMut(Duration) -> Result<(), KafkaError>,
) -> Result<(), TransactionError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A zero would mean "do not wait at all".
        let Err(error) = call(left.max(Duration::from_millis(1))) else {
            return Ok(());
        };
        match classify(&error) {
            Verdict::Retry(_) if Instant::now() + RETRY_PAUSE < deadline => {
                std::thread::sleep(RETRY_PAUSE)
            }
            verdict => return Err(verdict.into_error()),
        }
    }
}

#[cfg(test)]
mod tests;
