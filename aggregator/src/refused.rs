//! Which records of partitions became dead letters, as the log of those says.
//!
//! Reading records again tells what is sound now. That need not be what was said of them then:
//! a schema may have been registered since, or a setting changed. What was refused was not
//! counted, and must not stand in the way of the event when it is sent again or replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use platform::kafka::client::KafkaClientConfig;
use platform::kafka::consumer::TopicPartition;
use platform::kafka::log_reader::{LogReader, Step};
use schemas::Timestamp;
use schemas::dead_letter::DeadLetter;

use crate::fault::SessionError;

/// Offsets by partition.
pub(crate) type Refused = BTreeMap<TopicPartition, BTreeSet<i64>>;

/// The offsets of `partitions` among the dead letters of the topic `dead_letters` since some log
/// time.
///
/// # Errors
/// [`SessionError`] when they are not read by `deadline`.
pub(crate) fn refused_since(
    client: &KafkaClientConfig,
    group: &str,
    dead_letters: &str,
    since: Timestamp,
    partitions: &[TopicPartition],
    deadline: Instant,
) -> Result<Refused, SessionError> {
    let mut refused = Refused::new();
    let mut log = LogReader::open(client, group, dead_letters, Some(since))?;
    loop {
        if Instant::now() >= deadline {
            return Err(SessionError::SlowBrokers);
        }
        let record = match log.poll()? {
            Step::Record(record) => record,
            Step::Waiting => continue,
            Step::End => return Ok(refused),
        };
        // A marker of a replay is no letter, and what the sink refused was counted here.
        let letter = DeadLetter::from_headers(|name| record.header(name));
        let Some(letter) = letter.ok().filter(|letter| !letter.was_admitted()) else {
            continue;
        };
        let source = TopicPartition::new(letter.source_topic, letter.source_partition);
        if partitions.contains(&source) {
            let offsets = refused.entry(source).or_default();
            offsets.insert(letter.source_offset);
        }
    }
}
