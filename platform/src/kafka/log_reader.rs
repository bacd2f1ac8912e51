//! Reading a stretch of a log again, outside of any consumer group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::client::{KafkaClientConfig, LoggingContext};
use super::consumer::ConsumerError;

/// How long the brokers may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A stretch of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub partition: i32,
    /// Records of this log time and later, in milliseconds since 1970.
    pub from_millis: i64,
    /// Records before this offset, of which the last one exists.
    pub end: i64,
}

/// Reads what is committed of stretches of `topic`, each in order, and hands every record to
/// `each`, until that says `false`. Commits nothing and joins nothing. For one thread.
///
/// # Errors
/// [`ConsumerError`]; also when the brokers say nothing for long.
pub fn read_log(
    client: &KafkaClientConfig,
    topic: &str,
    stretches: &[Stretch],
    mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<(), ConsumerError> {
    let mut config = client.base();
    config
        // Needed to be made, and never joined.
        .set("group.id", "flowmeter-log-reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("fetch.error.backoff.ms", "100");
    let consumer: BaseConsumer<LoggingContext> = config.create_with_context(LoggingContext)?;
    let mut ends = BTreeMap::new();
    let mut starts = TopicPartitionList::new();
    for stretch in stretches {
        let (low, _) = consumer.fetch_watermarks(topic, stretch.partition, PATIENCE)?;
        let start = start(&consumer, topic, stretch)?.map_or(stretch.end, |start| start.max(low));
        if start < stretch.end {
            starts.add_partition_offset(topic, stretch.partition, Offset::Offset(start))?;
            ends.insert(stretch.partition, stretch.end);
        }
    }
    consumer.assign(&starts)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        let record = match consumer.poll(POLL) {
            Some(record) => record?,
            None if heard.elapsed() > PATIENCE => {
                return Err(ConsumerError::Fatal("the brokers say nothing".to_owned()));
            }
            None => continue,
        };
        heard = Instant::now();
        let Some(end) = ends.get(&record.partition()).copied() else {
            continue;
        };
        if record.offset() < end && !each(&record) {
            return Ok(());
        }
        if record.offset() + 1 >= end {
            ends.remove(&record.partition());
        }
    }
    Ok(())
}

/// The first offset of the stretch's log time or later, if there is one.
fn start(
    consumer: &BaseConsumer<LoggingContext>,
    topic: &str,
    stretch: &Stretch,
) -> Result<Option<i64>, ConsumerError> {
    let mut times = TopicPartitionList::new();
    times.add_partition_offset(
        topic,
        stretch.partition,
        Offset::Offset(stretch.from_millis),
    )?;
    let found = consumer.offsets_for_times(times, PATIENCE)?;
    let found = found.find_partition(topic, stretch.partition);
    Ok(match found.map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => Some(offset),
        _ => None,
    })
}
