//! The buckets of a range, and the lines through them.

use std::{collections::BTreeMap, iter};

use schemas::Timestamp;

use super::{
    answer::{Bucket, Trend},
    fold::all_of,
    params::Query,
    trend::{Direction, Line},
};
use crate::{aggregated::fold::Group, rollups::Measure};

/// A day, in microseconds.
const DAY: f64 = 86_400e6;

/// All buckets of a range, ascending, each with whether it is complete.
#[derive(Debug)]
pub(super) struct Series {
    start: Timestamp,
    buckets: Vec<(Group, bool)>,
}

impl Series {
    /// Fills the range's gaps with buckets of nothing.
    pub(super) fn of(
        mut stored: BTreeMap<Timestamp, Group>,
        query: &Query,
        watermark: Option<Timestamp>,
    ) -> Self {
        let (start, seconds) = (query.start(), query.time_range.window().seconds());
        let next = |at: &Timestamp| Some(at.saturating_add_seconds(seconds));
        let starts = iter::successors(Some(start), next).take_while(|at| *at < query.end());
        let buckets = starts.map(|at| {
            let end = at.saturating_add_seconds(seconds);
            let events = stored.remove(&at).unwrap_or_else(|| all_of(at));
            (events, watermark.is_some_and(|until| end <= until))
        });
        Self {
            start,
            buckets: buckets.collect(),
        }
    }

    pub(super) fn buckets(&self) -> Vec<Bucket> {
        let buckets = self.buckets.iter();
        let told = buckets.map(|(events, complete)| Bucket::of(events, *complete));
        told.collect()
    }

    /// One for each measure.
    pub(super) fn trends(&self) -> Vec<Trend> {
        Measure::ALL.into_iter().map(|m| self.trend(m)).collect()
    }

    /// Through complete buckets: an open one has less than it will have, and would bend the
    /// line down.
    fn trend(&self, measure: Measure) -> Trend {
        let days = |at: Timestamp| (at.micros() - self.start.micros()) as f64 / DAY;
        let complete = self.buckets.iter().filter(|(_, complete)| *complete);
        let points: Vec<(f64, f64)> = complete
            .filter_map(|(events, _)| Some((days(events.bucket_start), measure.of(events)?)))
            .collect();
        let line = Line::through(&points);
        Trend {
            measure,
            slope_per_day: line.map(|line| line.slope),
            intercept: line.map(|line| line.intercept),
            r_squared: line.and_then(|line| line.r_squared),
            points: points.len(),
            direction: line.map_or(Direction::Unknown, |line| line.direction()),
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::Rollup;

    use super::*;

    #[test]
    fn gaps_are_filled_and_open_buckets_bend_no_line() {
        let pairs = [("time_range".to_owned(), "30d".to_owned())];
        let now: Timestamp = "2026-03-31T12:00:00Z".parse().unwrap();
        let query = Query::parse(&pairs, now).unwrap();
        // Every second day two more than the one before, and today one.
        let mut stored = BTreeMap::new();
        for day in (0..28).step_by(2) {
            let at = query.start().saturating_add_seconds(day * 86_400);
            let mut events = all_of(at);
            events.commands.count = 100 + 2 * day as u64;
            events.commands.by_status = [0, events.commands.count, 0, 0];
            stored.insert(at, events);
        }
        let today = query.start().saturating_add_seconds(29 * 86_400);
        stored.insert(today, all_of(today));
        let watermark = query.start().saturating_add_seconds(28 * 86_400 + 3600);
        let series = Series::of(stored, &query, Some(watermark));
        let complete = series.buckets.iter().filter(|(_, complete)| *complete);
        assert_eq!((series.buckets.len(), complete.count()), (30, 28));
        let empty = &series.buckets[1].0;
        assert_eq!(empty.bucket_start.to_string(), "2026-03-03T00:00:00Z");
        assert_eq!(empty.commands, Rollup::default());

        // Days without commands have no error rate, but a count of none.
        let trends = series.trends();
        let points: Vec<usize> = trends.iter().map(|trend| trend.points).collect();
        assert_eq!(points, [28, 14, 0, 28, 28, 28]);
        let rate = &trends[1];
        assert_eq!((rate.slope_per_day, rate.intercept), (Some(0.0), Some(1.0)));
        assert_eq!(rate.direction, Direction::Flat);
        assert_eq!(trends[2].direction, Direction::Unknown);
        assert_eq!(trends[2].slope_per_day, None);

        // Nothing is known to be complete without a watermark.
        let series = Series::of(BTreeMap::new(), &query, None);
        assert!(series.trends().iter().all(|trend| trend.points == 0));
    }
}
