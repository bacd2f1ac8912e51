//! The partitions that are read, and how far. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::kafka::admission::{Deduplicator, Sighting};
use platform::kafka::consumer::{Committed, TopicPartition};
use schemas::{Event, Timestamp};

/// The partitions of one session. Dropped with them: what is known of a partition is no
/// longer true once another member has read on.
#[derive(Debug)]
pub(crate) struct Partitions {
    horizon: Duration,
    reading: BTreeMap<TopicPartition, Reading>,
}

#[derive(Debug)]
struct Reading {
    /// The first record that was not counted before. Those up to it are read for their ids.
    first: i64,
    seen: Deduplicator,
    /// The next offset and the last log time, if not committed.
    uncommitted: Option<(i64, Timestamp)>,
}

/// Where reading is to be committed: the next offset, and the last record's log time as the
/// note beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) partition: TopicPartition,
    pub(crate) next: i64,
    pub(crate) note: String,
}

/// How a session is to take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It was counted before, and is read for its id.
    Known,
    /// It is new.
    New,
}

impl Partitions {
    /// None yet. Ids are known for `horizon` of log time.
    pub(crate) fn new(horizon: Duration) -> Self {
        Self {
            horizon,
            reading: BTreeMap::new(),
        }
    }

    /// From which log time on records are to be read again for their ids, in milliseconds
    /// since 1970. `None`: whatever there is, since nobody said when the last record was.
    pub(crate) fn warm_up_from(&self, committed: &Committed) -> Option<i64> {
        let last: i64 = committed.note.parse().ok()?;
        let horizon = i64::try_from(self.horizon.as_millis()).ok()?;
        Some(last.saturating_sub(horizon).max(0))
    }

    /// A partition is ours; records before `first` were counted.
    pub(crate) fn assign(&mut self, partition: TopicPartition, first: i64) {
        let reading = Reading {
            first,
            seen: Deduplicator::new(self.horizon),
            uncommitted: None,
        };
        self.reading.insert(partition, reading);
    }

    /// Partitions are no longer ours.
    pub(crate) fn release(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.reading.remove(partition);
        }
    }

    /// Takes note that a record was read. `None`: the partition is none of ours.
    pub(crate) fn read(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        log_time: Timestamp,
    ) -> Option<Part> {
        let reading = self.reading.get_mut(partition)?;
        if offset < reading.first {
            return Some(Part::Known);
        }
        reading.uncommitted = Some((offset + 1, log_time));
        Some(Part::New)
    }

    /// What the id of a sound event of a partition of ours says.
    pub(crate) fn see(
        &mut self,
        partition: &TopicPartition,
        event: &Event,
        log_time: Timestamp,
    ) -> Sighting {
        let reading = self.reading.get_mut(partition);
        reading.map_or(Sighting::First, |r| r.seen.see(event, log_time))
    }

    /// What is to be committed.
    pub(crate) fn positions(&self) -> Vec<Position> {
        let uncommitted = |(partition, reading): (&TopicPartition, &Reading)| {
            let (next, log_time) = reading.uncommitted?;
            Some(Position {
                partition: partition.clone(),
                next,
                note: log_time.micros().div_euclid(1000).to_string(),
            })
        };
        self.reading.iter().filter_map(uncommitted).collect()
    }

    /// The positions are committed.
    pub(crate) fn committed(&mut self) {
        for reading in self.reading.values_mut() {
            reading.uncommitted = None;
        }
    }

    /// How many ids are known.
    pub(crate) fn ids(&self) -> usize {
        self.reading.values().map(|r| r.seen.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    #[test]
    fn what_was_counted_before_is_read_and_not_committed_again() {
        let partition = TopicPartition::new("t", 0);
        let mut partitions = Partitions::new(Duration::from_secs(60));
        assert_eq!(partitions.read(&partition, 1, at(1)), None);
        partitions.assign(partition.clone(), 5);
        assert_eq!(partitions.read(&partition, 4, at(10)), Some(Part::Known));
        assert_eq!(partitions.positions(), []);
        assert_eq!(partitions.read(&partition, 5, at(20)), Some(Part::New));
        assert_eq!(partitions.read(&partition, 7, at(30)), Some(Part::New));
        let position = Position {
            partition: partition.clone(),
            next: 8,
            note: "30".to_owned(),
        };
        assert_eq!(partitions.positions(), [position]);
        partitions.committed();
        assert_eq!(partitions.positions(), []);
        partitions.release(std::slice::from_ref(&partition));
        assert_eq!(partitions.read(&partition, 8, at(40)), None);
    }

    #[test]
    fn ids_are_read_again_from_a_horizon_before_the_last_record() {
        let partitions = Partitions::new(Duration::from_secs(60));
        let from = |note: &str| {
            partitions.warm_up_from(&Committed {
                offset: 9,
                note: note.to_owned(),
            })
        };
        assert_eq!(from("1700000100000"), Some(1_700_000_040_000));
        assert_eq!(from("30"), Some(0));
        // Of an older version, or moved by an operator.
        assert_eq!(from(""), None);
    }
}
