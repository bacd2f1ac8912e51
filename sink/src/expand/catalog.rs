//! The series that a batch touches, by number.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use schemas::{
    Rollup, Timestamp,
    rollup::{Scope, Series},
};
use uuid::Uuid;

use super::RollupRow;

/// A series of one organization and scope. Numbers are compared and hashed in the place of
/// three ids and a name.
pub(super) type Number = u32;

/// All series of a batch.
#[derive(Default)]
pub(super) struct Catalog {
    entries: Vec<CatalogEntry>,
    numbers: HashTable<Number>,
    hasher: DefaultHashBuilder,
}

struct CatalogEntry {
    organization_id: Uuid,
    scope: Scope,
    series: Arc<Series>,
    /// A hash of all parts of the series.
    series_id: Uuid,
}

/// Where each series comes in a table's primary key, which has the bucket's start in its midst.
pub(super) struct Order(Vec<(u32, u32)>);

impl Catalog {
    /// The number of a series, which gets one when it is first seen.
    pub(super) fn number(&mut self, organization_id: Uuid, scope: Scope, series: Series) -> Number {
        let Self {
            entries,
            numbers,
            hasher,
        } = self;
        let hash = hasher.hash_one((organization_id, scope, &series));
        let entry = numbers.entry(
            hash,
            |&number| {
                let known = &entries[number as usize];
                known.organization_id == organization_id
                    && known.scope == scope
                    && *known.series == series
            },
            |&number| {
                let known = &entries[number as usize];
                hasher.hash_one((known.organization_id, known.scope, &*known.series))
            },
        );
        match entry {
            Entry::Occupied(number) => *number.get(),
            Entry::Vacant(vacant) => {
                let number = Number::try_from(entries.len()).expect("a batch is smaller");
                vacant.insert(number);
                entries.push(CatalogEntry {
                    organization_id,
                    scope,
                    series_id: series.id(),
                    series: Arc::new(series),
                });
                number
            }
        }
    }

    /// What a series is part of in a scope that is coarser than its own.
    pub(super) fn coarser(&mut self, number: Number, scope: Scope) -> Number {
        let finer = &self.entries[number as usize];
        let (organization_id, series) = (finer.organization_id, finer.series.within(scope));
        self.number(organization_id, scope, series)
    }

    /// Of all that have a number now.
    pub(super) fn order(&self) -> Order {
        let mut sorted: Vec<(u128, Scope, u128, Number)> = self
            .entries
            .iter()
            .zip(0..)
            .map(|(entry, number)| {
                // As whole numbers, which compare faster than bytes and in the same order.
                let [organization_id, series_id] =
                    [entry.organization_id, entry.series_id].map(|id| id.as_u128());
                (organization_id, entry.scope, series_id, number)
            })
            .collect();
        sorted.sort_unstable();
        let mut order = vec![(0, 0); sorted.len()];
        let mut group = 0;
        let mut before = None;
        for (rank, (organization_id, scope, _, number)) in (0..).zip(sorted) {
            let of = (organization_id, scope);
            if before.replace(of).is_some_and(|before| before != of) {
                group += 1;
            }
            order[number as usize] = (group, rank);
        }
        Order(order)
    }

    /// A rollup with all that is known of its series.
    pub(super) fn row(&self, number: Number, bucket_start: Timestamp, rollup: Rollup) -> RollupRow {
        let entry = &self.entries[number as usize];
        RollupRow {
            organization_id: entry.organization_id,
            scope: entry.scope,
            bucket_start,
            series_id: entry.series_id,
            series: Arc::clone(&entry.series),
            rollup,
        }
    }
}

impl Order {
    /// Sorts as [`RollupRow::key`] does.
    pub(super) fn key(&self, number: Number, bucket_start: Timestamp) -> (u32, Timestamp, u32) {
        let (group, rank) = self.0[number as usize];
        (group, bucket_start, rank)
    }
}
