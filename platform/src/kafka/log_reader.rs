//! Reading a topic once, from some time on to where it ends now, outside of any group.
//!
//! "To the end" needs care twice. The marks of transactions take offsets and are never
//! delivered, so no record need have the last offset: librdkafka's partition-EOF events say
//! when there is nothing more. But they say so where the first open transaction begins (the
//! last stable offset), and whoever stopped there could miss records committed after it. So
//! the end is taken without regard to transactions, and reading begins when each partition is
//! stable up to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use schemas::Timestamp;

use super::admission::{RecordParts, log_time};
use super::client::{KafkaClientConfig, LoggingContext};
use super::registry::SCHEMA_ID_HEADER;

/// How long the brokers may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long nothing may come while there must be more.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a transaction may stay open across an end: longer than ours live.
const STABLE: Duration = Duration::from_secs(90);
/// By how much the clocks of brokers may differ.
const SKEW_SECONDS: i64 = 60;

/// Why a topic was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum LogReaderError {
    /// Kafka refused, or did not answer.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// There is no such topic.
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// A transaction stays open.
    #[error("{topic}/{partition}: a transaction has been open for {STABLE:?}; try again later")]
    Unstable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Nothing came though there is more.
    #[error("Kafka sent nothing for {SILENCE:?}")]
    Silent,
}

/// A record, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// The partition it is in.
    pub partition: i32,
    /// Where there.
    pub offset: i64,
    /// When the log took it.
    pub log_time: Timestamp,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl LogRecord {
    /// The value of the first header of a name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(n, _)| n == name)?;
        found.1.as_deref()
    }

    /// The parts that admission reads.
    pub fn parts(&self) -> RecordParts<'_> {
        let schema = self.headers.iter().find(|(n, _)| n == SCHEMA_ID_HEADER);
        RecordParts {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            schema_header: schema.map(|(_, value)| value.as_deref().unwrap_or_default()),
            log_time: self.log_time,
        }
    }

    /// Its size, for bounds of memory.
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(n, v)| n.len() + length(v));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

impl From<&BorrowedMessage<'_>> for LogRecord {
    fn from(record: &BorrowedMessage<'_>) -> Self {
        let headers = record.headers().into_iter().flat_map(Headers::iter);
        Self {
            partition: record.partition(),
            offset: record.offset(),
            log_time: log_time(record),
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

/// What a poll brought.
#[derive(Debug)]
pub enum Step {
    /// The next record of some partition.
    Record(LogRecord),
    /// Nothing yet.
    Waiting,
    /// There is no more.
    End,
}

/// The offsets of a partition that are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    /// The one after the last.
    pub(super) end: i64,
}

/// See the module's text. Synchronous: for a thread of its owner's own.
pub struct LogReader {
    consumer: BaseConsumer<LoggingContext>,
    /// What is left, by partition.
    left: BTreeMap<i32, Range>,
    offsets: u64,
    heard: Instant,
}

impl LogReader {
    /// Reads `topic` up to its present end, where everything is kept that was taken `from`
    /// some time on. `group` is never joined; the client library wants a name.
    ///
    /// # Errors
    /// See [`LogReaderError`].
    pub fn open(
        client: &KafkaClientConfig,
        group: &str,
        topic: &str,
        from: Option<Timestamp>,
    ) -> Result<Self, LogReaderError> {
        let consumer = consumer(client, group, "read_committed")?;
        let mut left = ends(
            &consumer,
            &self::consumer(client, group, "read_uncommitted")?,
            topic,
        )?;
        if let Some(from) = from {
            seek(&consumer, topic, from, &mut left)?;
        }
        Self::assign(consumer, topic, left)
    }

    /// Reads of each given partition of `topic` what lies from the first offset up to the
    /// second, exclusive; it must be stable.
    ///
    /// # Errors
    /// See [`LogReaderError`].
    pub fn open_at(
        client: &KafkaClientConfig,
        group: &str,
        topic: &str,
        ranges: &BTreeMap<i32, (i64, i64)>,
    ) -> Result<Self, LogReaderError> {
        let range = |(partition, (start, end)): (&i32, &(i64, i64))| {
            let (start, end) = (*start, *end);
            (*partition, Range { start, end })
        };
        let left = ranges.iter().map(range).collect();
        Self::assign(consumer(client, group, "read_committed")?, topic, left)
    }

    fn assign(
        consumer: BaseConsumer<LoggingContext>,
        topic: &str,
        mut left: BTreeMap<i32, Range>,
    ) -> Result<Self, LogReaderError> {
        left.retain(|_, range| range.start < range.end);
        let mut list = TopicPartitionList::with_capacity(left.len());
        for (partition, range) in &left {
            list.add_partition_offset(topic, *partition, Offset::Offset(range.start))?;
        }
        consumer.assign(&list)?;
        let length = |range: &Range| u64::try_from(range.end - range.start).unwrap_or(0);
        Ok(Self {
            consumer,
            offsets: left.values().map(length).sum(),
            left,
            heard: Instant::now(),
        })
    }

    /// How many offsets lie ahead. Not all of them are records.
    pub fn left(&self) -> u64 {
        let length = |range: &Range| u64::try_from(range.end - range.start).unwrap_or(0);
        self.left.values().map(length).sum()
    }

    /// How many lay ahead in the beginning.
    pub fn offsets(&self) -> u64 {
        self.offsets
    }

    /// The next record, waiting a moment for it.
    ///
    /// # Errors
    /// [`LogReaderError::Kafka`] for what waiting does not mend; [`LogReaderError::Silent`].
    pub fn poll(&mut self) -> Result<Step, LogReaderError> {
        self.poll_within(Duration::from_millis(100))
    }

    /// The next record, waiting so long for it.
    ///
    /// # Errors
    /// As [`LogReader::poll`].
    pub fn poll_within(&mut self, wait: Duration) -> Result<Step, LogReaderError> {
        if self.left.is_empty() {
            return Ok(Step::End);
        }
        match self.consumer.poll(wait) {
            Some(Ok(record)) => {
                self.heard = Instant::now();
                Ok(advance(&mut self.left, record.partition(), record.offset())
                    .then(|| LogRecord::from(&record))
                    .map_or(Step::Waiting, Step::Record))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.heard = Instant::now();
                self.left.remove(&partition);
                Ok(Step::Waiting)
            }
            Some(Err(error)) if is_lasting(&error) => Err(error.into()),
            Some(Err(_)) | None if self.heard.elapsed() < SILENCE => Ok(Step::Waiting),
            Some(Err(error)) => Err(error.into()),
            None => Err(LogReaderError::Silent),
        }
    }
}

/// Whether a record is one of those to be read; moves on behind it.
fn advance(left: &mut BTreeMap<i32, Range>, partition: i32, offset: i64) -> bool {
    let Some(range) = left.get_mut(&partition) else {
        return false;
    };
    let wanted = offset < range.end;
    range.start = offset + 1;
    if range.start >= range.end {
        left.remove(&partition);
    }
    wanted
}

pub(super) fn is_lasting(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::Fatal
        )
    )
}

fn consumer(
    client: &KafkaClientConfig,
    group: &str,
    isolation: &str,
) -> Result<BaseConsumer<LoggingContext>, KafkaError> {
    // What retention removes meanwhile is gone.
    settings(client, group, isolation)
        .set("auto.offset.reset", "earliest")
        .create_with_context(LoggingContext)
}

/// The settings of whoever reads outside of any group.
pub(super) fn settings(client: &KafkaClientConfig, group: &str, isolation: &str) -> ClientConfig {
    let mut config = client.base();
    config
        .set("group.id", group)
        .set("group.protocol", "classic")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "10");
    config
}

/// Where each partition begins and ends, once it is `stable` up to its end.
fn ends(
    stable: &BaseConsumer<LoggingContext>,
    all: &BaseConsumer<LoggingContext>,
    topic: &str,
) -> Result<BTreeMap<i32, Range>, LogReaderError> {
    let metadata = all.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata.topics().iter().find(|t| t.name() == topic);
    let partitions = found.map(|t| t.partitions()).unwrap_or_default();
    if partitions.is_empty() {
        return Err(LogReaderError::NoTopic(topic.to_owned()));
    }
    let mut ranges = BTreeMap::new();
    for partition in partitions {
        let (start, end) = all.fetch_watermarks(topic, partition.id(), ANSWER)?;
        ranges.insert(partition.id(), Range { start, end });
    }
    let deadline = Instant::now() + STABLE;
    for (partition, range) in &ranges {
        while stable.fetch_watermarks(topic, *partition, ANSWER)?.1 < range.end {
            if Instant::now() >= deadline {
                return Err(LogReaderError::Unstable {
                    topic: topic.to_owned(),
                    partition: *partition,
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(ranges)
}

/// Leaves out what was taken before `from`.
pub(super) fn seek(
    consumer: &BaseConsumer<LoggingContext>,
    topic: &str,
    from: Timestamp,
    ranges: &mut BTreeMap<i32, Range>,
) -> Result<(), LogReaderError> {
    let millis = from
        .saturating_add_seconds(-SKEW_SECONDS)
        .micros()
        .div_euclid(1000);
    let mut times = TopicPartitionList::with_capacity(ranges.len());
    for partition in ranges.keys() {
        times.add_partition_offset(topic, *partition, Offset::Offset(millis.max(0)))?;
    }
    let found = consumer.offsets_for_times(times, ANSWER)?;
    for (partition, range) in ranges {
        let Some(element) = found.find_partition(topic, *partition) else {
            continue;
        };
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => range.start = range.start.max(offset),
            // Nothing is that young.
            _ => range.start = range.end,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
