//! A group consumer for one OS thread, which leaves every decision to its owner.
//!
//! Rebalances are not carried out in librdkafka's callback but told as values of
//! [`Polled`]; the owner finishes what it holds and then answers with
//! [`PartitionConsumer::accept_assignment`] or [`PartitionConsumer::release`].
//! librdkafka waits for that answer, and the group with it, so it must come
//! before `max_poll_interval`. Offsets are given explicitly: nothing is ever
//! resumed, committed or reset behind the owner's back.

mod context;
mod progress;
mod start;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use self::context::{GroupContext, Rebalance};
pub use self::start::{OffsetGone, start_offset};
use super::client::KafkaClientConfig;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The group, and the bounds of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// The consumer group.
    pub group: String,
    /// Silence after which the group gives this member up.
    pub session_timeout: Duration,
    /// Time between two polls after which this member gives itself up.
    pub max_poll_interval: Duration,
    /// Bytes fetched ahead at most.
    pub prefetch_bytes: usize,
}

impl ConsumerSettings {
    /// The product's bounds: 10 s, 60 s, 8 MiB.
    pub fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            session_timeout: Duration::from_secs(10),
            max_poll_interval: Duration::from_secs(60),
            prefetch_bytes: 8 << 20,
        }
    }
}

/// What a group committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// What the committer wrote beside it; empty if nothing.
    pub note: String,
}

/// What a poll brought.
pub enum Polled<'a> {
    /// The next record of some partition.
    Record(BorrowedMessage<'a>),
    /// These are ours once accepted, with a start offset each.
    Assigned(Vec<TopicPartition>),
    /// These go to another member once released: finish and commit first.
    Revoked(Vec<TopicPartition>),
    /// These are another member's already: drop what is held of them, do not commit, release.
    Lost(Vec<TopicPartition>),
    /// Nothing in time.
    Idle,
}

/// Why a consumer cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// A call failed; it may be tried again.
    #[error("Kafka consumer: {0}")]
    Kafka(#[from] KafkaError),
    /// The log no longer (or not yet) has the offset that is next: records are
    /// missing. Never skipped silently.
    #[error("Kafka consumer: the next offset of a partition is not in the log")]
    OffsetOutOfRange,
    /// This consumer is of no more use.
    #[error("Kafka consumer, fatal: {0}")]
    Fatal(String),
}

/// See the module's text. Stays on one thread.
pub struct PartitionConsumer {
    consumer: BaseConsumer<GroupContext>,
    /// A rebalance told to the owner and not answered yet.
    unanswered: Cell<Option<Unanswered>>,
    /// Where each partition's reading began.
    starts: RefCell<BTreeMap<TopicPartition, i64>>,
    /// When the last poll began that brought nothing for a while.
    drained: Cell<Option<Instant>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unanswered {
    Assign,
    Unassign,
}

impl PartitionConsumer {
    /// Makes a consumer and subscribes; the group is joined by polling.
    ///
    /// # Errors
    /// When librdkafka refuses a setting or a name.
    pub fn new(
        client: &KafkaClientConfig,
        settings: &ConsumerSettings,
        topics: &[&str],
    ) -> Result<Self, ConsumerError> {
        let mut config = client.base();
        config
            .set("group.id", &settings.group)
            // KIP-848's protocol takes no client-side settings below, and its
            // rebalances answer differently.
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set(
                "session.timeout.ms",
                settings.session_timeout.as_millis().to_string(),
            )
            // A member learns by its heartbeat that others came or went, and until all have
            // learned it, the one that came reads nothing. A third, as usual, would be a pause
            // of three seconds.
            .set(
                "heartbeat.interval.ms",
                (settings.session_timeout.as_millis() / 10).to_string(),
            )
            .set(
                "max.poll.interval.ms",
                settings.max_poll_interval.as_millis().to_string(),
            )
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("queued.min.messages", "10000")
            .set(
                "queued.max.messages.kbytes",
                (settings.prefetch_bytes / 1024).to_string(),
            )
            .set("fetch.message.max.bytes", (1 << 20).to_string())
            .set("fetch.max.bytes", settings.prefetch_bytes.to_string())
            // A second by default, for which a full queue would stand still after it was emptied.
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "100")
            .set("statistics.interval.ms", "5000");
        let consumer: BaseConsumer<GroupContext> =
            config.create_with_context(GroupContext::new(&settings.group))?;
        consumer.subscribe(topics)?;
        Ok(Self {
            consumer,
            unanswered: Cell::new(None),
            starts: RefCell::default(),
            drained: Cell::new(None),
        })
    }

    /// Waits up to `timeout` for something to happen. Brokers that are away are
    /// no error: the client reconnects, and until then there is [`Polled::Idle`].
    ///
    /// # Errors
    /// [`ConsumerError::OffsetOutOfRange`], [`ConsumerError::Fatal`].
    pub fn poll(&self, timeout: Duration) -> Result<Polled<'_>, ConsumerError> {
        if let Some(polled) = self.next_rebalance()? {
            return Ok(polled);
        }
        // Asking costs as much as a tenth of a record.
        let began = (timeout >= progress::LULL).then(Instant::now);
        match self.consumer.poll(timeout) {
            Some(Ok(record)) => Ok(Polled::Record(record)),
            Some(Err(error)) => {
                judge(&error)?;
                Ok(Polled::Idle)
            }
            None => {
                if began.is_some() {
                    self.drained.set(began);
                }
                Ok(self.next_rebalance()?.unwrap_or(Polled::Idle))
            }
        }
    }

    /// Answers [`Polled::Assigned`]: reads each partition from its offset on.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`] when librdkafka does not expect it.
    pub fn accept_assignment(&self, starts: &[(TopicPartition, i64)]) -> Result<(), ConsumerError> {
        let list = offset_list(starts)?;
        self.consumer.incremental_assign(&list)?;
        self.unanswered.set(None);
        self.starts.borrow_mut().extend(starts.iter().cloned());
        Ok(())
    }

    /// Reads partitions of this member from other offsets on. What was fetched ahead is dropped.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`].
    pub fn seek(
        &self,
        starts: &[(TopicPartition, i64)],
        timeout: Duration,
    ) -> Result<(), ConsumerError> {
        let sought = self
            .consumer
            .seek_partitions(offset_list(starts)?, timeout)?;
        for element in sought.elements() {
            element.error()?;
        }
        self.starts.borrow_mut().extend(starts.iter().cloned());
        Ok(())
    }

    /// Answers [`Polled::Revoked`] and [`Polled::Lost`], after the owner has
    /// finished with the partitions. Records of theirs fetched ahead are dropped.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`] when librdkafka does not expect it.
    pub fn release(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.consumer
            .incremental_unassign(&partition_list(partitions))?;
        self.unanswered.set(None);
        self.consumer.context().forget(partitions);
        let mut starts = self.starts.borrow_mut();
        for partition in partitions {
            starts.remove(partition);
        }
        Ok(())
    }

    /// What the group committed for each partition, in the given order.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`] when the coordinator does not answer in time. It
    /// waits for open transactions, so an offset is never about to change.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, ConsumerError> {
        let list = self
            .consumer
            .committed_offsets(partition_list(partitions), timeout)?;
        partitions
            .iter()
            .map(|wanted| {
                let Some(found) = list.find_partition(&wanted.topic, wanted.partition) else {
                    return Ok(None);
                };
                found.error()?;
                Ok(match found.offset() {
                    Offset::Offset(offset) => Some(Committed {
                        offset,
                        note: found.metadata().to_owned(),
                    }),
                    _ => None,
                })
            })
            .collect()
    }

    /// The first offset the log still has, and the one after its last, as the broker says now.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`].
    pub fn watermarks(
        &self,
        partition: &TopicPartition,
        timeout: Duration,
    ) -> Result<(i64, i64), ConsumerError> {
        Ok(self
            .consumer
            .fetch_watermarks(&partition.topic, partition.partition, timeout)?)
    }

    /// The first offset whose log time is `millis` (since 1970) or later; `None`
    /// when there is none.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`].
    pub fn offset_at_time(
        &self,
        partition: &TopicPartition,
        millis: i64,
        timeout: Duration,
    ) -> Result<Option<i64>, ConsumerError> {
        let list = offset_list(&[(partition.clone(), millis)])?;
        let found = self.consumer.offsets_for_times(list, timeout)?;
        let Some(element) = found.find_partition(&partition.topic, partition.partition) else {
            return Ok(None);
        };
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    }

    /// What a transaction needs to commit offsets on behalf of this member. Ask
    /// anew after each rebalance.
    ///
    /// # Errors
    /// [`ConsumerError::Fatal`], which cannot happen to a member of a group.
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata, ConsumerError> {
        self.consumer
            .group_metadata()
            .ok_or_else(|| ConsumerError::Fatal("not a member of a group".to_owned()))
    }

    /// Tells the group the next offsets, without waiting, for lag tools. Not for correctness.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`] when it could not even be queued.
    pub fn commit_hint(&self, next: &[(TopicPartition, i64)]) -> Result<(), ConsumerError> {
        Ok(self
            .consumer
            .commit(&offset_list(next)?, CommitMode::Async)?)
    }

    /// Stops fetching, while polls keep the membership alive: for an owner that
    /// cannot go on for a while. What was fetched ahead is fetched again later.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`].
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        Ok(self.consumer.pause(&partition_list(partitions))?)
    }

    /// Undoes [`pause`](Self::pause).
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`].
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        Ok(self.consumer.resume(&partition_list(partitions))?)
    }

    /// Leaves the group at once, so that others need not wait for a timeout.
    /// Dropping does the same.
    pub fn close(self) {}

    /// Takes the next rebalance from the callback's queue, as something to tell the owner.
    fn next_rebalance(&self) -> Result<Option<Polled<'_>>, ConsumerError> {
        let Some(rebalance) = self.consumer.context().next_rebalance() else {
            return Ok(None);
        };
        // An empty change still has to be answered, but is nobody's business.
        if rebalance.partitions().is_empty() {
            match rebalance {
                Rebalance::Assigned(_) => self.accept_assignment(&[])?,
                Rebalance::Revoked(_) | Rebalance::Lost(_) => self.release(&[])?,
            }
            return Ok(None);
        }
        let (unanswered, polled) = match rebalance {
            Rebalance::Assigned(partitions) => (Unanswered::Assign, Polled::Assigned(partitions)),
            Rebalance::Revoked(partitions) => (Unanswered::Unassign, Polled::Revoked(partitions)),
            Rebalance::Lost(partitions) => (Unanswered::Unassign, Polled::Lost(partitions)),
        };
        self.unanswered.set(Some(unanswered));
        Ok(Some(polled))
    }
}

/// The client library's own drop leaves the group and serves rebalances until
/// that is done; it would wait for ever for an answer of the owner.
impl Drop for PartitionConsumer {
    fn drop(&mut self) {
        self.consumer.context().answer_alone();
        let nothing = TopicPartitionList::new();
        let answered = match self.unanswered.get() {
            Some(Unanswered::Assign) => self.consumer.incremental_assign(&nothing),
            Some(Unanswered::Unassign) => self.consumer.incremental_unassign(&nothing),
            None => Ok(()),
        };
        // Told by the callback, not yet by a poll.
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            let answered = match rebalance {
                Rebalance::Assigned(_) => self.consumer.incremental_assign(&nothing),
                Rebalance::Revoked(_) | Rebalance::Lost(_) => {
                    self.consumer.incremental_unassign(&nothing)
                }
            };
            log_close(answered);
        }
        log_close(answered);
        if let Ok(assignment) = self.consumer.assignment() {
            let partitions: Vec<_> = context::partitions_of(&assignment);
            self.consumer.context().forget(&partitions);
        }
    }
}

fn log_close(answered: Result<(), KafkaError>) {
    if let Err(error) = answered {
        tracing::debug!(%error, "a rebalance at the end of a consumer");
    }
}

/// Which errors of a poll end the consumer. All others are the client's to mend;
/// it has logged them.
fn judge(error: &KafkaError) -> Result<(), ConsumerError> {
    use RDKafkaErrorCode as Code;
    if let KafkaError::MessageConsumptionFatal(code) = error {
        return Err(ConsumerError::Fatal(code.to_string()));
    }
    match error.rdkafka_error_code() {
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
            Err(ConsumerError::OffsetOutOfRange)
        }
        Some(
            code @ (Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InconsistentGroupProtocol
            | Code::Fatal),
        ) => Err(ConsumerError::Fatal(code.to_string())),
        _ => {
            tracing::debug!(%error, "a passing error of the Kafka consumer");
            Ok(())
        }
    }
}

fn partition_list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}

fn offset_list(offsets: &[(TopicPartition, i64)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(
            &partition.topic,
            partition.partition,
            Offset::Offset(*offset),
        )?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
