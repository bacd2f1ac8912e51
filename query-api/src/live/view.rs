//! The rows of one view, kept up to date delta by delta.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use schemas::{Rollup, Timestamp, Window, rollup::Series};

use super::{matching, params::ViewQuery, position::Position};
use crate::aggregated::{
    fold::{Group, Part},
    group::Key,
};

/// The most rows of a view; beyond, its oldest buckets are let go.
pub(crate) const MAX_ROWS: usize = 10_000;

/// Rows by bucket and group, each with the number of its last change.
#[derive(Debug)]
pub(crate) struct View {
    query: ViewQuery,
    buckets: BTreeMap<Timestamp, Bucket>,
    /// Buckets that start before were let go.
    from: Timestamp,
    rows: usize,
    /// How often buckets had to be let go for want of room.
    shed: u64,
    /// The log time of the oldest event that nobody was told of yet.
    oldest_untold: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// The last change of any of its rows.
    changed: u64,
    rows: HashMap<Key, (u64, Group)>,
}

impl View {
    pub(super) fn new(query: ViewQuery, from: Timestamp) -> Self {
        Self {
            query,
            buckets: BTreeMap::new(),
            from,
            rows: 0,
            shed: 0,
            oldest_untold: None,
        }
    }

    pub(super) fn window(&self) -> Window {
        self.query.window()
    }

    pub(super) fn query(&self) -> &ViewQuery {
        &self.query
    }

    /// How often rows had to be let go for want of room.
    pub(super) fn shed(&self) -> u64 {
        self.shed
    }

    pub(super) fn from(&self) -> Timestamp {
        self.from
    }

    /// Adds a delta of a bucket of this view's window, as change number `seq`.
    pub(super) fn add(&mut self, seq: u64, bucket: Timestamp, series: &Series, rollup: &Rollup) {
        let group_by = self.query.group_by();
        if bucket < self.from || !matching::admits(self.query.filter(), group_by, series) {
            return;
        }
        let Some(part) = Part::of(series.kind.as_str(), &series.name) else {
            return;
        };
        let held = self.buckets.entry(bucket).or_default();
        held.changed = seq;
        let key = matching::key(group_by, series);
        let rows = &mut self.rows;
        let (changed, group) = held.rows.entry(key).or_insert_with_key(|key| {
            *rows += 1;
            (seq, Group::empty(bucket, key.clone()))
        });
        *changed = seq;
        group.add(part, rollup);
        while self.rows > MAX_ROWS {
            let next = bucket_after(self.buckets.keys().next().copied(), self.window());
            self.shed_before(next.unwrap_or(bucket));
        }
    }

    /// An event of this log time is in what was added last.
    pub(super) fn heard(&mut self, seq: u64, log_time: Timestamp) {
        let newest = self.buckets.values().map(|bucket| bucket.changed).max();
        if newest == Some(seq) {
            let oldest = self.oldest_untold.get_or_insert(log_time);
            *oldest = log_time.min(*oldest);
        }
    }

    /// The log time of the oldest event since this was last asked.
    pub(super) fn take_oldest_untold(&mut self) -> Option<Timestamp> {
        self.oldest_untold.take()
    }

    /// The rows from `from` on that are not as they were at `since`; without it, all. A row
    /// has changed, too, when its bucket has become complete by `watermark`.
    pub(super) fn rows_since(
        &self,
        since: Option<Position>,
        from: Timestamp,
        watermark: Option<Timestamp>,
    ) -> Vec<Group> {
        let mut rows = Vec::new();
        for (start, bucket) in self.buckets.range(from..) {
            let end = start.saturating_add_seconds(self.window().seconds());
            let completed = |since: Position| {
                watermark.is_some_and(|until| end <= until)
                    && since.watermark.is_none_or(|until| end > until)
            };
            let all = since.is_none_or(completed);
            let told = since.map_or(0, |since| since.seq);
            if all || bucket.changed > told {
                let first = rows.len();
                let changed = bucket.rows.values().filter(|(seq, _)| all || *seq > told);
                rows.extend(changed.map(|(_, group)| group.clone()));
                rows[first..].sort_by(|a: &Group, b| in_order(&a.key, &b.key));
            }
        }
        rows
    }

    /// Lets go of what starts before `from`.
    pub(super) fn advance(&mut self, from: Timestamp) {
        self.from = self.from.max(from);
        let kept = self.buckets.split_off(&self.from);
        let gone = std::mem::replace(&mut self.buckets, kept);
        self.rows -= gone.values().map(|bucket| bucket.rows.len()).sum::<usize>();
    }

    /// Lets go of what starts before `from` for want of room.
    pub(super) fn shed_before(&mut self, from: Timestamp) {
        self.advance(from);
        self.shed += 1;
    }
}

fn bucket_after(start: Option<Timestamp>, window: Window) -> Option<Timestamp> {
    Some(start?.saturating_add_seconds(window.seconds()))
}

/// As `/aggregated` orders the groups of a bucket: the null group is the last.
fn in_order(a: &Key, b: &Key) -> Ordering {
    match (a, b) {
        (Key::Id(Some(a)), Key::Id(Some(b))) => a.cmp(b),
        (Key::Id(a), Key::Id(b)) => b.is_some().cmp(&a.is_some()),
        (Key::Name(Some(a)), Key::Name(Some(b))) => a.cmp(b),
        (Key::Name(a), Key::Name(b)) => b.is_some().cmp(&a.is_some()),
        _ => Ordering::Equal,
    }
}
