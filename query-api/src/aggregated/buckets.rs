//! Where the buckets of a range begin.

use std::iter;

use chrono_tz::Tz;
use schemas::{Timestamp, Window};

use super::days::LocalDays;

/// The most buckets of a range whose window is chosen, unless even the longest window has more.
const FITTING_BUCKETS: i64 = 200;

/// The buckets of a query, one after another without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buckets {
    /// All of one length, in UTC.
    Even(Window),
    /// Days of a time zone.
    Days(LocalDays),
}

impl Buckets {
    /// What a bucket is called.
    pub(crate) const fn window(&self) -> Window {
        match self {
            Self::Even(window) => *window,
            Self::Days(_) => Window::D1,
        }
    }

    /// The window of the rollups that buckets are made of.
    pub(crate) const fn source(&self) -> Window {
        match self {
            Self::Even(window) => *window,
            Self::Days(days) => days.source(),
        }
    }

    /// The time zone that says where buckets begin.
    pub(crate) const fn zone(&self) -> Tz {
        match self {
            Self::Even(_) => Tz::UTC,
            Self::Days(days) => days.zone(),
        }
    }

    /// The start of the bucket that holds `at`.
    pub(crate) fn start(&self, at: Timestamp) -> Timestamp {
        match self {
            Self::Even(window) => window.start(at),
            Self::Days(days) => days.start(at),
        }
    }

    /// Where the bucket starts that comes so many after the one that starts at `start`, or
    /// before it if negative.
    pub(crate) fn shifted(&self, start: Timestamp, by: i64) -> Timestamp {
        match self {
            Self::Even(window) => start.saturating_add_seconds(window.seconds().saturating_mul(by)),
            Self::Days(days) => days.shifted(start, by),
        }
    }

    /// Where the bucket ends that starts at `start`.
    pub(crate) fn end(&self, start: Timestamp) -> Timestamp {
        self.shifted(start, 1)
    }

    /// How many buckets start at `from`, which is the start of one, or later, and before `to`.
    pub(crate) fn count(&self, from: Timestamp, to: Timestamp) -> i64 {
        match self {
            Self::Even(window) => {
                let length = window.seconds() * 1_000_000;
                // Neither reaches beyond the years 1 to 9999.
                let micros = (to.micros() - from.micros()).max(0);
                (micros + length - 1) / length
            }
            Self::Days(days) => days.count(from, to),
        }
    }

    /// The starts of those buckets, in order.
    pub(crate) fn starts(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
        let mut next = from;
        iter::from_fn(move || {
            let start = next;
            next = self.end(start);
            // At the end of time a bucket ends where it starts.
            (start < to && start < next).then_some(start)
        })
    }
}

/// The finest of the windows kept of which a range has at most 200 buckets; the longest
/// if it has more of each. `kept` is sorted, shortest first.
pub(crate) fn fitting(kept: &[Window], start: Timestamp, end: Timestamp) -> Window {
    let fits = |window: &Window| {
        let buckets = Buckets::Even(*window);
        buckets.count(window.start(start), end) <= FITTING_BUCKETS
    };
    let finest = kept.iter().copied().find(fits);
    finest.or(kept.last().copied()).unwrap_or(Window::D1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_finest_window_that_fits_is_chosen() {
        let end = at("2026-03-31T00:00:00Z");
        let hours = |hours: i64| end.saturating_add_seconds(-3600 * hours);
        let chosen = |kept: &[Window], range: i64| fitting(kept, hours(range), end);
        for (range, window) in [
            (1, Window::M1),
            (3, Window::M1),
            (4, Window::M5),
            (16, Window::M5),
            (17, Window::M15),
            (24, Window::M15),
            (50, Window::M15),
            (51, Window::H1),
            (7 * 24, Window::H1),
            (200, Window::H1),
            (201, Window::D1),
            (30 * 24, Window::D1),
            (5 * 365 * 24, Window::D1),
        ] {
            assert_eq!(chosen(&Window::ALL, range), window, "{range} hours");
        }
        // The bucket that holds the start counts, too.
        let start = hours(200).saturating_add_seconds(-1);
        assert_eq!(fitting(&Window::ALL, start, end), Window::D1);
        // Only of what is kept.
        assert_eq!(chosen(&[Window::M1, Window::H1], 24), Window::H1);
        assert_eq!(chosen(&[Window::M1, Window::M5], 24 * 30), Window::M5);
        assert_eq!(
            fitting(&Window::ALL, Timestamp::MIN, Timestamp::MAX),
            Window::D1
        );
    }

    #[test]
    fn buckets_at_the_end_of_time_end() {
        let buckets = Buckets::Even(Window::H1);
        let from = at("9999-12-31T22:00:00Z");
        let starts: Vec<_> = buckets.starts(from, Timestamp::MAX).collect();
        assert_eq!(starts, [from, at("9999-12-31T23:00:00Z")]);
        assert_eq!(buckets.count(from, Timestamp::MAX), 2);
    }

    proptest! {
        #[test]
        fn even_buckets_follow_one_another(
            seconds in -10_000_000_000_i64..10_000_000_000,
            length in 0_i64..1_000_000,
            window in prop::sample::select(Window::ALL.to_vec()),
        ) {
            let from = Timestamp::from_micros(seconds * 1_000_000).unwrap();
            let to = from.saturating_add_seconds(length);
            let buckets = Buckets::Even(window);
            let first = buckets.start(from);
            let count = buckets.count(first, to);
            let few: Vec<_> = buckets.starts(first, to).take(500).collect();
            prop_assert_eq!(few.len() as i64, count.min(500));
            for (index, start) in few.iter().enumerate() {
                prop_assert_eq!(buckets.start(*start), *start);
                prop_assert_eq!(buckets.shifted(first, index as i64), *start);
                prop_assert_eq!(buckets.shifted(*start, -(index as i64)), first);
            }
        }
    }
}
