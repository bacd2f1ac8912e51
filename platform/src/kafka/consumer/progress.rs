//! Whether a partition has nothing more to read.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;

use super::{ConsumerError, PartitionConsumer, TopicPartition};

/// A poll that waited this long in vain found the queue of fetched records empty, and not only
/// an event of the library in its way.
pub(super) const LULL: Duration = Duration::from_millis(1);

/// How far the library has fetched a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    /// The next offset to fetch, past marks of transactions.
    pub(super) next: i64,
    /// When the library said so.
    pub(super) at: Instant,
}

impl PartitionConsumer {
    /// Whether every record that the log had of a partition when this was called has been
    /// handed to the owner. `false` also when that is not known.
    ///
    /// The broker is asked only when nothing that is known already speaks against it.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`] when the broker does not answer in time.
    pub fn read_to_end(
        &self,
        partition: &TopicPartition,
        timeout: Duration,
    ) -> Result<bool, ConsumerError> {
        let Some(fetched) = self.consumer.context().fetched(partition) else {
            return Ok(false);
        };
        // Offsets of marks are fetched and never handed out, so that the last record's offset
        // does not tell; but then a queue found empty since does.
        let handed_out = self.position(partition)? >= fetched.next
            || self.drained.get().is_some_and(|at| at > fetched.at);
        if !handed_out {
            return Ok(false);
        }
        let (_, end) = self.watermarks(partition, timeout)?;
        Ok(end <= fetched.next)
    }

    /// The offset after the last record handed out, or where reading began.
    fn position(&self, partition: &TopicPartition) -> Result<i64, ConsumerError> {
        let positions = self.consumer.position()?;
        let known = positions.find_partition(&partition.topic, partition.partition);
        Ok(match known.map(|element| element.offset()) {
            Some(Offset::Offset(next)) => next,
            _ => {
                let starts = self.starts.borrow();
                starts.get(partition).copied().unwrap_or(i64::MIN)
            }
        })
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// [`ConsumerError::Kafka`] when the brokers do not answer in time.
    pub fn partition_count(&self, topic: &str, timeout: Duration) -> Result<i32, ConsumerError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.map_or(0, |found| found.partitions().len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }
}
