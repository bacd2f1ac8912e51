//! The sink's sums of all windows and scopes with memory in the place of the database, so that
//! they can be measured and compared alone.

use std::{collections::HashMap, sync::Arc};

use hashbrown::hash_map::{Entry, HashMap as FastMap};
use schemas::{
    Event, Rollup, Timestamp, Window,
    rollup::{Scope, Series},
};
use uuid::Uuid;

use crate::{batch::Deltas, expand::expand};

/// Organization, scope and id of the series: with the start of the bucket a table's primary key.
/// Ids are whole numbers, which are hashed faster than bytes.
type Key = (u128, Scope, u128);

/// The rollups of one bucket. Each has a table of its own, since what is merged is mostly of the
/// last ones, and memory that is near by is found faster.
type Bucket = FastMap<Key, (Arc<Series>, Rollup)>;

/// All rollups of some windows. Events are added up as in a batch of the sink and, when it is
/// flushed, expanded and merged into what is there, as the sink does it with its tables.
#[derive(Debug)]
pub struct MemoryRollups {
    windows: Vec<Window>,
    deltas: Deltas,
    tables: HashMap<Window, FastMap<Timestamp, Bucket>>,
}

/// One rollup.
#[derive(Debug)]
pub struct MemoryRow<'a> {
    /// The length of its bucket.
    pub window: Window,
    /// The tenant.
    pub organization_id: Uuid,
    /// How fine its series is.
    pub scope: Scope,
    /// Where its bucket begins.
    pub bucket_start: Timestamp,
    /// What its events have in common.
    pub series: &'a Series,
    /// Their sums.
    pub rollup: &'a Rollup,
}

impl MemoryRollups {
    /// Of no events. `windows` must be sorted, shortest first.
    pub fn new(windows: &[Window]) -> Self {
        Self {
            windows: windows.to_vec(),
            deltas: Deltas::default(),
            tables: HashMap::new(),
        }
    }

    /// Adds an event to the batch.
    pub fn add(&mut self, event: &Event) {
        self.deltas.add(event);
    }

    /// Merges the batch into the rollups.
    pub fn flush(&mut self) {
        for (window, rows) in expand(&self.windows, self.deltas.drain()) {
            let table = self.tables.entry(window).or_default();
            for row in rows {
                let (organization_id, scope, bucket_start, series_id) = row.key();
                let key = (organization_id.as_u128(), scope, series_id.as_u128());
                match table.entry(bucket_start).or_default().entry(key) {
                    Entry::Occupied(mut sum) => sum.get_mut().1.merge(&row.rollup),
                    Entry::Vacant(vacant) => {
                        vacant.insert((row.series, row.rollup));
                    }
                }
            }
        }
    }

    /// All rollups that were flushed, in no order.
    pub fn rows(&self) -> impl Iterator<Item = MemoryRow<'_>> {
        let buckets = self.tables.iter().flat_map(|(window, table)| {
            let buckets = table.iter();
            buckets.map(move |(start, rows)| (*window, *start, rows))
        });
        buckets.flat_map(|(window, bucket_start, rows)| {
            rows.iter().map(move |(key, (series, rollup))| MemoryRow {
                window,
                organization_id: Uuid::from_u128(key.0),
                scope: key.1,
                bucket_start,
                series,
                rollup,
            })
        })
    }
}
