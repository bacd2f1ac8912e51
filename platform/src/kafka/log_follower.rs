//! Following a topic outside of any group: all of it, from some time on, for as long as one
//! likes. Where reading goes on is the owner's to know, who reads on after a fault.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use schemas::Timestamp;

use super::client::{KafkaClientConfig, LoggingContext};
use super::log_reader::{LogReaderError, LogRecord, Range, is_lasting, seek, settings};

/// How long the brokers may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Why a topic is not followed any more.
#[derive(Debug, thiserror::Error)]
pub enum LogFollowerError {
    /// Kafka refused, or did not answer.
    #[error(transparent)]
    Reader(#[from] LogReaderError),
    /// The log does not have the next offset of a partition: records are missing.
    #[error("the next offset of a partition is not in the log")]
    OffsetGone,
}

impl From<KafkaError> for LogFollowerError {
    fn from(error: KafkaError) -> Self {
        Self::Reader(error.into())
    }
}

/// What a poll brought.
pub enum Followed {
    /// The next record of some partition.
    Record(LogRecord),
    /// There is no more in a partition, for now.
    CaughtUp(i32),
    /// Nothing in time.
    Idle,
    /// No broker can be reached; the client goes on trying.
    Away,
}

/// Where a partition is to be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The first offset.
    pub offset: i64,
    /// Whether the log may have held older records of the time asked for, which are gone.
    pub cut: bool,
}

/// See the module's text. Synchronous: for a thread of its owner's own.
pub struct LogFollower {
    consumer: BaseConsumer<LoggingContext>,
    topic: String,
}

impl LogFollower {
    /// Reads only what is committed. `group` is never joined; the client library wants a name.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn new(
        client: &KafkaClientConfig,
        group: &str,
        topic: &str,
    ) -> Result<Self, LogFollowerError> {
        let mut config = settings(client, group, "read_committed");
        config.set("auto.offset.reset", "error");
        config.set("fetch.error.backoff.ms", "100");
        Ok(Self {
            consumer: config.create_with_context(LoggingContext)?,
            topic: topic.to_owned(),
        })
    }

    /// How many partitions the topic has.
    ///
    /// # Errors
    /// [`LogReaderError::NoTopic`], or when the brokers do not answer.
    pub fn partitions(&self) -> Result<usize, LogFollowerError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ANSWER)?;
        let found = metadata.topics().iter().find(|t| t.name() == self.topic);
        match found.map_or(0, |topic| topic.partitions().len()) {
            0 => Err(LogReaderError::NoTopic(self.topic.clone()).into()),
            count => Ok(count),
        }
    }

    /// Where everything begins that the log took from a time on, in each of so many partitions.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn starts(
        &self,
        partitions: usize,
        from: Timestamp,
    ) -> Result<BTreeMap<i32, Start>, LogFollowerError> {
        let mut ranges = BTreeMap::new();
        for partition in (0..).take(partitions) {
            let (start, end) = self
                .consumer
                .fetch_watermarks(&self.topic, partition, ANSWER)?;
            ranges.insert(partition, Range { start, end });
        }
        let firsts = ranges.clone();
        seek(&self.consumer, &self.topic, from, &mut ranges)?;
        let start = |(partition, range): (i32, Range)| {
            let first = firsts[&partition].start;
            let cut = first > 0 && range.start == first && range.start < range.end;
            let offset = range.start;
            (partition, Start { offset, cut })
        };
        Ok(ranges.into_iter().map(start).collect())
    }

    /// Reads from these offsets on.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn read_from(&self, offsets: &BTreeMap<i32, i64>) -> Result<(), LogFollowerError> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        self.consumer.assign(&list)?;
        Ok(())
    }

    /// Waits so long for something to happen. Brokers that are away are no error.
    ///
    /// # Errors
    /// [`LogFollowerError::OffsetGone`], and what waiting does not mend.
    pub fn poll(&self, wait: Duration) -> Result<Followed, LogFollowerError> {
        use RDKafkaErrorCode as Code;
        let error = match self.consumer.poll(wait) {
            None => return Ok(Followed::Idle),
            Some(Ok(record)) => return Ok(Followed::Record(LogRecord::from(&record))),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                return Ok(Followed::CaughtUp(partition));
            }
            Some(Err(error)) => error,
        };
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                Err(LogFollowerError::OffsetGone)
            }
            Some(Code::AllBrokersDown) => Ok(Followed::Away),
            _ if is_lasting(&error) => Err(error.into()),
            _ => {
                tracing::debug!(%error, "a passing error of the Kafka consumer");
                Ok(Followed::Idle)
            }
        }
    }
}
