//! The partitions that are read, and how far. No I/O.

mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use platform::kafka::admission::Deduplicator;
use platform::kafka::consumer::{Committed, TopicPartition};
use platform::kafka::refusals::{RefusalLimit, Refusals};
use schemas::{Timestamp, Window};

pub(crate) use self::reading::{Part, Reading};

/// The partitions of one session. Dropped with them: what is known of a partition is no
/// longer true once another member has read on.
#[derive(Debug)]
pub(crate) struct Partitions {
    horizon: Duration,
    watermark_delay: Duration,
    limit: RefusalLimit,
    reading: BTreeMap<TopicPartition, Reading>,
}

/// Where reading is to be committed: the next offset, and the last record's log time as the
/// note beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) partition: TopicPartition,
    pub(crate) next: i64,
    pub(crate) note: String,
}

impl Partitions {
    /// None yet. Ids are known for `horizon` of log time; a watermark is `watermark_delay`
    /// behind the log time that was read.
    pub(crate) fn new(horizon: Duration, watermark_delay: Duration, limit: RefusalLimit) -> Self {
        Self {
            horizon,
            watermark_delay,
            limit,
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

    /// A partition is ours; records before `first` were counted, or refused if they are of
    /// `refused_before`.
    pub(crate) fn assign(
        &mut self,
        partition: TopicPartition,
        first: i64,
        refused_before: BTreeSet<i64>,
    ) {
        let seen = Deduplicator::new(self.horizon);
        let refusals = Refusals::new(self.limit);
        let reading = Reading::new(first, refused_before, seen, refusals);
        self.reading.insert(partition, reading);
    }

    /// Partitions are no longer ours.
    pub(crate) fn release(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.reading.remove(partition);
        }
    }

    /// All partitions that are ours.
    pub(crate) fn all(&self) -> Vec<TopicPartition> {
        self.reading.keys().cloned().collect()
    }

    /// A partition of ours.
    pub(crate) fn reading(&mut self, partition: &TopicPartition) -> Option<&mut Reading> {
        self.reading.get_mut(partition)
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

    /// Partitions whose watermark would be another if they had nothing more to read at `now`.
    pub(crate) fn silent(&self, now: Timestamp) -> Vec<TopicPartition> {
        let could_be = self.watermark(now);
        let stays = |reading: &Reading| reading.until.is_none_or(|u| self.watermark(u) < could_be);
        let silent = self.reading.iter().filter(|(_, reading)| stays(reading));
        silent.map(|(partition, _)| partition.clone()).collect()
    }

    /// A partition had nothing more to read at `now`.
    pub(crate) fn read_to_end(&mut self, partition: &TopicPartition, now: Timestamp) {
        if let Some(reading) = self.reading.get_mut(partition) {
            reading.reached(now);
        }
    }

    /// The watermarks that are others than were published. Whole minutes, since no window ends
    /// in between.
    pub(crate) fn watermarks(&self) -> BTreeMap<TopicPartition, Timestamp> {
        let moved = |(partition, reading): (&TopicPartition, &Reading)| {
            let watermark = self.watermark(reading.until?);
            let is_news = reading.published.is_none_or(|told| told < watermark);
            is_news.then(|| (partition.clone(), watermark))
        };
        self.reading.iter().filter_map(moved).collect()
    }

    /// Watermarks were published.
    pub(crate) fn published(&mut self, watermarks: &BTreeMap<TopicPartition, Timestamp>) {
        for (partition, watermark) in watermarks {
            if let Some(reading) = self.reading.get_mut(partition) {
                reading.published = Some(*watermark);
            }
        }
    }

    /// The oldest watermark that was published.
    pub(crate) fn oldest_watermark(&self) -> Option<Timestamp> {
        let published = self.reading.values().map(|reading| reading.published);
        published.min().flatten()
    }

    fn watermark(&self, until: Timestamp) -> Timestamp {
        let delay = i64::try_from(self.watermark_delay.as_secs()).unwrap_or(i64::MAX);
        Window::M1.start(until.saturating_add_seconds(-delay))
    }

    /// How many ids are known.
    pub(crate) fn ids(&self) -> usize {
        self.reading.values().map(|r| r.seen.len()).sum()
    }
}

#[cfg(test)]
mod tests;
