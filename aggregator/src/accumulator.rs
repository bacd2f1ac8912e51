//! Adding events up between two flushes. No I/O.

use std::collections::HashMap;

use schemas::Event;
use schemas::rollup::{RollupBatch, RollupEntry, Sums};
use uuid::Uuid;

/// Entries per record, so that one with the longest names stays below Kafka's usual limit
/// of 1 MiB for a record.
const ENTRIES_PER_BATCH: usize = 200;

/// The sums since the last flush: per organization, minute and finest series.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    sums: Sums,
}

impl Accumulator {
    /// Adds one event.
    pub(crate) fn add(&mut self, event: &Event) {
        self.sums.add(event);
    }

    /// How many sums it holds, which is what bounds its memory.
    pub(crate) fn len(&self) -> usize {
        self.sums.len()
    }

    /// The sums as records, and an empty accumulator left behind.
    pub(crate) fn take(&mut self) -> Vec<RollupBatch> {
        let mut organizations: HashMap<Uuid, Vec<RollupEntry>> = HashMap::new();
        for ((organization, minute, series), rollup) in self.sums.drain() {
            organizations
                .entry(organization)
                .or_default()
                .push(RollupEntry::new(minute, series, &rollup));
        }
        let mut batches = Vec::new();
        for (organization_id, mut entries) in organizations {
            while !entries.is_empty() {
                let rest = entries.split_off(entries.len().min(ENTRIES_PER_BATCH));
                batches.push(RollupBatch {
                    organization_id,
                    entries,
                });
                entries = rest;
            }
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::event::CommandExecution;
    use schemas::rollup::Series;
    use schemas::{Rollup, Timestamp};

    use super::*;
    use crate::test_event::command;

    fn event(organization: u128, user: u128, second: i64, time: i64) -> Event {
        Event::CommandExecution(CommandExecution {
            organization_id: Uuid::from_u128(organization),
            timestamp: Timestamp::from_micros(second * 1_000_000).unwrap(),
            user_id: Uuid::from_u128(user),
            execution_time_ms: time,
            ..command()
        })
    }

    proptest! {
        /// Whatever the flushes in between, what they published adds up to all events.
        #[test]
        fn flushes_together_hold_every_event_once(
            events in prop::collection::vec((0u128..3, 0u128..300, 0i64..300, 0i64..1000, prop::bool::weighted(0.02)), 0..600)
        ) {
            let mut accumulator = Accumulator::default();
            let mut batches = Vec::new();
            let mut expected: HashMap<(Uuid, Timestamp, Series), Rollup> = HashMap::new();
            for (organization, user, second, time, flush) in events {
                let event = event(organization, user, second, time);
                accumulator.add(&event);
                let minute = Timestamp::from_micros(second / 60 * 60_000_000).unwrap();
                let key = (Uuid::from_u128(organization), minute, Series::of(&event));
                expected.entry(key).or_default().merge(&Rollup::of(&event));
                if flush {
                    batches.extend(accumulator.take());
                }
            }
            batches.extend(accumulator.take());
            prop_assert_eq!(accumulator.len(), 0);
            let mut published: HashMap<(Uuid, Timestamp, Series), Rollup> = HashMap::new();
            for batch in batches {
                prop_assert!((1..=ENTRIES_PER_BATCH).contains(&batch.entries.len()));
                for entry in batch.entries {
                    let (minute, series, rollup) = entry.into_parts().unwrap();
                    published.entry((batch.organization_id, minute, series)).or_default().merge(&rollup);
                }
            }
            prop_assert_eq!(published, expected);
        }
    }
}
