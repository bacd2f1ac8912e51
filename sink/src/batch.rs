//! What is held until the next transaction.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use schemas::{Event, Rollup, Source, Timestamp, rollup::Series};
use uuid::Uuid;

use crate::{
    decode::Delta,
    store::{DeadLetterRow, ReplayedRow},
};

/// An admitted event, and where in the log it was.
#[derive(Debug, Clone)]
pub(crate) struct RawEvent {
    pub(crate) event: Event,
    pub(crate) source: Source,
}

/// What became of a record.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(crate) enum Item {
    Event(RawEvent),
    Deltas(Vec<Delta>),
    DeadLetter(DeadLetterRow),
    Replayed(ReplayedRow),
}

/// What is held until the next transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<RawEvent>,
    /// Added up as they come: when catching up, most are of the same minute and series.
    pub(crate) deltas: HashMap<(Uuid, Timestamp, Series), Rollup>,
    pub(crate) dead_letters: Vec<DeadLetterRow>,
    pub(crate) replayed: Vec<ReplayedRow>,
    /// Events by log time, for the delay until they are stored.
    pub(crate) log_times: BTreeMap<Timestamp, usize>,
    /// Records read.
    pub(crate) records: usize,
    bytes: usize,
    began: Option<Instant>,
}

impl Batch {
    /// Takes a record of `bytes`.
    pub(crate) fn add(&mut self, item: Item, bytes: usize) {
        self.began.get_or_insert_with(Instant::now);
        self.records += 1;
        self.bytes += bytes;
        match item {
            Item::Event(event) => {
                *self.log_times.entry(event.source.log_time).or_default() += 1;
                self.events.push(event);
            }
            Item::Deltas(deltas) => {
                for delta in deltas {
                    let key = (delta.organization_id, delta.minute, delta.series);
                    self.deltas.entry(key).or_default().merge(&delta.rollup);
                }
            }
            Item::DeadLetter(row) => self.dead_letters.push(row),
            Item::Replayed(row) => self.replayed.push(row),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Time since its first record.
    fn age(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

/// When a batch is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most records.
    records: usize,
    /// Most sums of deltas. Each is up to 15 rows, which are read and written; the transaction must
    /// end in time and its rows must fit memory.
    deltas: usize,
}

impl Limits {
    /// Most bytes of keys and values: they grow several times over as rows.
    const BYTES: usize = 8 << 20;
    /// How long a first record waits for company.
    const LINGER: Duration = Duration::from_millis(20);
    /// How long one waits at most while others keep coming at once.
    const LONGEST: Duration = Duration::from_secs(1);

    /// At most `records`, and the product's other bounds.
    pub(crate) fn new(records: usize) -> Self {
        let deltas = 4_000;
        Self { records, deltas }
    }

    /// Half of these, for a database too slow for them.
    pub(crate) fn halved(self) -> Self {
        Self {
            records: (self.records / 2).max(1),
            deltas: (self.deltas / 2).max(1),
        }
    }

    /// How long the next poll may wait.
    pub(crate) fn wait(self, batch: &Batch) -> Duration {
        if batch.is_empty() {
            Duration::from_millis(100)
        } else {
            Self::LINGER.saturating_sub(batch.age())
        }
    }

    /// Whether the batch is to be written now; `idle`: the last poll brought nothing.
    ///
    /// While records keep coming, as long is read as the last write took: a batch costs by
    /// the rows it touches more than by its events, so under load longer ones are cheaper,
    /// and without load nobody waits.
    pub(crate) fn is_due(self, batch: &Batch, idle: bool, last_write: Duration) -> bool {
        self.is_due_at(batch, batch.age(), idle, last_write)
    }

    fn is_due_at(self, batch: &Batch, age: Duration, idle: bool, last_write: Duration) -> bool {
        if batch.is_empty() {
            return false;
        }
        let patience = last_write.clamp(Self::LINGER, Self::LONGEST);
        let full = batch.records >= self.records
            || batch.deltas.len() >= self.deltas
            || batch.bytes >= Self::BYTES;
        full || age >= patience || (idle && age >= Self::LINGER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_grows_while_records_come_at_once() {
        let limits = Limits::new(100);
        let due = |records, bytes, millis, idle| {
            let batch = Batch {
                records,
                bytes,
                ..Batch::default()
            };
            let last_write = Duration::from_millis(400);
            limits.is_due_at(&batch, Duration::from_millis(millis), idle, last_write)
        };
        assert!(!due(0, 0, 5000, true), "nothing to write");
        assert!(!due(1, 10, 5, true), "others may come");
        assert!(due(1, 10, 20, true));
        assert!(!due(99, 10, 300, false), "more is there already");
        assert!(due(99, 10, 400, false));
        assert!(due(100, 10, 0, false));
        assert!(due(1, 8 << 20, 0, false));
    }

    #[test]
    fn limits_never_reach_nothing() {
        let mut limits = Limits::new(5);
        for _ in 0..20 {
            limits = limits.halved();
        }
        assert_eq!((limits.records, limits.deltas), (1, 1));
    }
}
