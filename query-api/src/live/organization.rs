//! What is held of one organization. No I/O and no clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use schemas::{Rollup, Timestamp, Window, rollup::Series};

use super::{
    horizon::{buckets_held, oldest},
    params::ViewQuery,
    position::Position,
    view::View,
};
use crate::aggregated::fold::Group;

/// A delta: of a series at its finest, in a minute.
pub(crate) type Delta = (Timestamp, Series, Rollup);

/// Deltas of one organization, folded into the windows; and the views that are looked at,
/// which are folded along so that a change costs what changed and not what is held.
#[derive(Debug)]
pub(crate) struct Organization {
    /// The number of the last change.
    seq: u64,
    series: HashSet<Arc<Series>>,
    /// By window, in the order of [`Window::ALL`].
    windows: [Held; 5],
    views: HashMap<u64, View>,
    views_opened: u64,
}

/// The buckets of a window.
#[derive(Debug)]
struct Held {
    /// Buckets that start before are not held.
    from: Timestamp,
    buckets: BTreeMap<Timestamp, HashMap<Arc<Series>, Rollup>>,
    rows: usize,
}

/// What a view tells.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) until: Position,
    /// Buckets that start before are no part of the view any more.
    pub(crate) from: Timestamp,
    /// How often buckets were let go for want of room.
    pub(crate) shed: u64,
    pub(crate) rows: Vec<Group>,
}

impl Organization {
    /// Nothing yet. Changes are numbered from `seq` on.
    pub(crate) fn new(seq: u64, now: Timestamp) -> Self {
        let held = |window| Held {
            from: oldest(window, buckets_held(window), now),
            buckets: BTreeMap::new(),
            rows: 0,
        };
        Self {
            seq,
            series: HashSet::new(),
            windows: Window::ALL.map(held),
            views: HashMap::new(),
            views_opened: 0,
        }
    }

    /// Adds deltas, of which the oldest event has this log time, as one change. What belongs
    /// to no bucket that is held is left out.
    pub(crate) fn add(&mut self, deltas: Vec<Delta>, log_time: Timestamp) {
        self.seq += 1;
        for (minute, series, rollup) in deltas {
            let series = match self.series.get(&series) {
                Some(known) => known.clone(),
                None => {
                    let new = Arc::new(series);
                    self.series.insert(new.clone());
                    new
                }
            };
            for (window, held) in Window::ALL.into_iter().zip(&mut self.windows) {
                let bucket = window.start(minute);
                if bucket < held.from {
                    continue;
                }
                held.add(bucket, &series, &rollup);
                for view in self.views.values_mut().filter(|v| v.window() == window) {
                    view.add(self.seq, bucket, &series, &rollup);
                }
            }
        }
        for view in self.views.values_mut() {
            view.heard(self.seq, log_time);
        }
    }

    /// The number of the last change.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// How many rollups are held.
    pub(crate) fn rows(&self) -> usize {
        self.windows.iter().map(|held| held.rows).sum()
    }

    /// Lets go of buckets that have become too old.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        for (window, held) in Window::ALL.into_iter().zip(&mut self.windows) {
            held.advance(oldest(window, buckets_held(window), now));
        }
        for view in self.views.values_mut() {
            let (window, buckets) = (view.window(), view.query().buckets());
            view.advance(oldest(window, buckets, now));
        }
        self.forget_series();
    }

    /// Lets go of the oldest bucket of the window that has most rows, for want of room.
    pub(crate) fn shed(&mut self) {
        let largest = Window::ALL.into_iter().zip(&mut self.windows);
        let Some((window, held)) = largest.max_by_key(|(_, held)| held.rows) else {
            return;
        };
        let Some(start) = held.buckets.keys().next() else {
            return;
        };
        let from = start.saturating_add_seconds(window.seconds());
        held.advance(from);
        for view in self.views.values_mut().filter(|v| v.window() == window) {
            view.shed_before(from);
        }
        self.forget_series();
    }

    fn forget_series(&mut self) {
        self.series.retain(|series| Arc::strong_count(series) > 1);
    }

    /// Whether nothing is held and nobody looks.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows() == 0 && self.views.is_empty()
    }

    /// From now on keeps the rows of a view; gives its number here.
    pub(crate) fn open(&mut self, query: ViewQuery, now: Timestamp) -> u64 {
        self.views_opened += 1;
        let view = self.view(query, now);
        self.views.insert(self.views_opened, view);
        self.views_opened
    }

    /// Keeps them no more.
    pub(crate) fn close(&mut self, view: u64) {
        self.views.remove(&view);
    }

    /// The rows of a view, once.
    pub(crate) fn look(
        &self,
        query: ViewQuery,
        now: Timestamp,
        watermark: Option<Timestamp>,
    ) -> Told {
        self.tell_of(&self.view(query, now), None, now, watermark)
    }

    /// What has changed in an open view since a position; without one, all of it. `watermark`
    /// was read before.
    pub(crate) fn tell(
        &self,
        view: u64,
        since: Option<Position>,
        now: Timestamp,
        watermark: Option<Timestamp>,
    ) -> Option<Told> {
        let view = self.views.get(&view)?;
        Some(self.tell_of(view, since, now, watermark))
    }

    /// The log time of the oldest event in a view since this was last asked.
    pub(crate) fn take_oldest_untold(&mut self, view: u64) -> Option<Timestamp> {
        self.views.get_mut(&view)?.take_oldest_untold()
    }

    fn tell_of(
        &self,
        view: &View,
        since: Option<Position>,
        now: Timestamp,
        watermark: Option<Timestamp>,
    ) -> Told {
        let query = view.query();
        let from = oldest(query.window(), query.buckets(), now).max(view.from());
        Told {
            until: Position {
                seq: self.seq,
                watermark,
            },
            from,
            shed: view.shed(),
            rows: view.rows_since(since, from, watermark),
        }
    }

    fn view(&self, query: ViewQuery, now: Timestamp) -> View {
        let held = &self.windows[query.window() as usize];
        let from = oldest(query.window(), query.buckets(), now).max(held.from);
        let mut view = View::new(query, from);
        for (bucket, rows) in held.buckets.range(from..) {
            for (series, rollup) in rows {
                view.add(self.seq, *bucket, series, rollup);
            }
        }
        view
    }
}

impl Held {
    fn add(&mut self, bucket: Timestamp, series: &Arc<Series>, rollup: &Rollup) {
        let rows = &mut self.rows;
        let bucket = self.buckets.entry(bucket).or_default();
        let row = bucket.entry(series.clone()).or_insert_with(|| {
            *rows += 1;
            Rollup::default()
        });
        row.merge(rollup);
    }

    fn advance(&mut self, from: Timestamp) {
        self.from = self.from.max(from);
        let kept = self.buckets.split_off(&self.from);
        let gone = std::mem::replace(&mut self.buckets, kept);
        self.rows -= gone.values().map(HashMap::len).sum::<usize>();
    }
}

#[cfg(test)]
#[path = "organization_tests.rs"]
mod tests;
