//! What is held until the next transaction.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use platform::telemetry::delays::Delays;
use schemas::{
    Event, EventKind, Rollup, Timestamp, Watermarks,
    dead_letter::Position,
    rollup::{SumKey, Sums},
};
use uuid::Uuid;

use crate::{
    letters::EventRecord,
    store::{DeadLetterRow, EventRows, ReplayedRow},
};

/// An admitted event and its record.
#[derive(Debug, Clone)]
pub(crate) struct RawEvent {
    pub(crate) event: Event,
    pub(crate) record: EventRecord,
}

/// What events add to the minutes of their finest series: when catching up, most share one.
#[derive(Debug, Default)]
pub(crate) struct Deltas(Sums);

impl Deltas {
    pub(crate) fn of(events: &[RawEvent]) -> Self {
        let mut deltas = Self::default();
        events.iter().for_each(|raw| deltas.add(&raw.event));
        deltas
    }

    pub(crate) fn add(&mut self, event: &Event) {
        self.0.add(event);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all out and keeps the memory for the next ones.
    #[cfg(feature = "test-support")]
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (SumKey, Rollup)> {
        self.0.drain()
    }
}

impl IntoIterator for Deltas {
    type Item = (SumKey, Rollup);
    type IntoIter = <Sums as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What became of a record.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(crate) enum Item {
    Event(RawEvent),
    DeadLetter(DeadLetterRow),
    Replayed(ReplayedRow),
    /// In which partition of the admitted events they were.
    Watermarks(i32, Watermarks),
}

/// By kind and partition of the source, and partition of the admitted events: the watermark,
/// and how many of these there are in all.
pub(crate) type WatermarkRows = BTreeMap<(EventKind, i32, i32), (Timestamp, i32)>;

/// What is held until the next transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Of its events.
    pub(crate) rows: EventRows,
    /// From which its events can be read again.
    pub(crate) event_records: Vec<EventRecord>,
    /// Whose events they are.
    pub(crate) organizations: HashSet<Uuid>,
    pub(crate) deltas: Deltas,
    pub(crate) dead_letters: Vec<DeadLetterRow>,
    /// Whose letter is among these, is the sink's own, and is open.
    of_sink: HashSet<Position>,
    pub(crate) replayed: Vec<ReplayedRow>,
    pub(crate) watermarks: WatermarkRows,
    /// How long the events took until they are stored.
    pub(crate) delays: Delays,
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
            Item::Event(RawEvent { event, record }) => {
                self.delays.add(record.source.log_time);
                self.deltas.add(&event);
                self.rows.add(&event, &record.source);
                self.organizations.insert(event.common().organization_id);
                self.event_records.push(record);
            }
            Item::DeadLetter(row) => {
                let letter = &row.letter;
                if !letter.was_admitted() || self.of_sink.insert(letter.source()) {
                    self.dead_letters.push(row);
                }
            }
            Item::Replayed(row) => {
                self.of_sink.remove(&row.marker.source);
                self.replayed.push(row);
            }
            Item::Watermarks(partition, told) => {
                let expected = told.sources.saturating_mul(told.partitions);
                let expected = i32::try_from(expected).unwrap_or(i32::MAX);
                for ((kind, source), until) in told.until {
                    let row = self.watermarks.entry((kind, source, partition));
                    let row = row.or_insert((until, expected));
                    *row = (row.0.max(until), expected);
                }
            }
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
    /// Most bytes of keys and values, which are held twice, as records and as rows. Of two batches,
    /// the one that is read and the one that is written, together 24 MiB.
    const BYTES: usize = 12 << 20;
    /// How long a first record waits for company.
    const LINGER: Duration = Duration::from_millis(20);
    /// How long a poll waits while a batch is on its way, whose end no poll tells.
    const WATCH: Duration = Duration::from_millis(10);

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

    /// How long the next poll may wait; `writing`: another batch is on its way.
    pub(crate) fn wait(self, batch: &Batch, writing: bool) -> Duration {
        if writing {
            Self::WATCH
        } else if batch.is_empty() {
            Duration::from_millis(100)
        } else {
            Self::LINGER.saturating_sub(batch.age())
        }
    }

    /// Whether nothing more is to be read into it.
    pub(crate) fn is_full(self, batch: &Batch) -> bool {
        batch.records >= self.records
            || batch.deltas.len() >= self.deltas
            || batch.bytes >= Self::BYTES
    }

    /// Whether the batch is to be written, as soon as no other is on its way.
    ///
    /// So while records keep coming, as long is read as the last write takes: a batch costs by
    /// the rows it touches more than by its events, so under load longer ones are cheaper,
    /// and without load nobody waits.
    pub(crate) fn is_due(self, batch: &Batch) -> bool {
        self.is_due_at(batch, batch.age())
    }

    fn is_due_at(self, batch: &Batch, age: Duration) -> bool {
        !batch.is_empty() && (self.is_full(batch) || age >= Self::LINGER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_for_company_unless_it_is_full() {
        let limits = Limits::new(100);
        let due = |records, bytes, millis| {
            let batch = Batch {
                records,
                bytes,
                ..Batch::default()
            };
            limits.is_due_at(&batch, Duration::from_millis(millis))
        };
        assert!(!due(0, 0, 5000), "nothing to write");
        assert!(!due(99, 10, 19), "others may come");
        assert!(due(1, 10, 20));
        assert!(due(100, 10, 0));
        assert!(due(1, Limits::BYTES, 0));
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
