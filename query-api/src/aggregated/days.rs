//! Days as a place's clocks show them.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use schemas::{Timestamp, Window};

/// The most days of one range: ten years.
const MAX_DAYS: i64 = 3660;

/// A time zone by its name in the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zone(pub(crate) Tz);

impl Zone {
    /// Whether its days are those of UTC at all times.
    pub(crate) fn is_utc(self) -> bool {
        matches!(self.0, Tz::UTC | Tz::Etc__UTC)
    }
}

/// Not the name of a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a time zone in the IANA database, such as Europe/Berlin")]
pub(crate) struct UnknownZone;

impl FromStr for Zone {
    type Err = UnknownZone;
    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        text.parse().map(Self).map_err(|_| UnknownZone)
    }
}

/// Days of a time zone, one after another: 23, 24 or 25 hours long, as its clocks are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalDays {
    zone: Tz,
    /// Where each begins, ascending, and where the last one ends.
    starts: Vec<Timestamp>,
    source: Window,
}

/// Why a range has no rows of local days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoDays {
    /// The range is too long.
    #[error("of a range of at most {MAX_DAYS} days")]
    TooMany,
    /// Rollups of this window would be needed.
    #[error("needs rollups of {0}, which are not kept")]
    NotKept(Window),
    /// As before about 1900.
    #[error("is not whole minutes from UTC in this range")]
    NotWhole,
}

impl LocalDays {
    /// The days that hold the instants from `from` on and before `to`; and of days before
    /// them, if asked for, no fewer than those.
    ///
    /// They are made of the longest window kept of which each of them is whole: of hours
    /// where all offsets from UTC are whole hours, of quarters where they are not.
    ///
    /// # Errors
    /// If they are too many or no window will do.
    pub(crate) fn over(
        zone: Tz,
        (from, to): (Timestamp, Timestamp),
        with_previous: bool,
        kept: &[Window],
    ) -> Result<Self, NoDays> {
        let first = date_at(zone, from.micros());
        let last = date_at(zone, to.micros() - 1).max(first);
        let days = (last - first).num_days() + 1;
        if days > MAX_DAYS {
            return Err(NoDays::TooMany);
        }
        // Some more, since a few places have left out a day.
        let before = if with_previous { days + 2 } else { 0 };
        let mut starts: Vec<Timestamp> = (first - Days::new(before.unsigned_abs()))
            .iter_days()
            .take((before + days + 1).unsigned_abs() as usize)
            .map(|date| day_start(zone, date))
            .collect();
        // A day that was left out starts with the one after it.
        starts.dedup();
        let source = source(&starts, kept)?;
        Ok(Self {
            zone,
            starts,
            source,
        })
    }

    pub(crate) const fn source(&self) -> Window {
        self.source
    }

    pub(crate) const fn zone(&self) -> Tz {
        self.zone
    }

    pub(crate) fn start(&self, at: Timestamp) -> Timestamp {
        self.starts[self.index(at)]
    }

    pub(crate) fn shifted(&self, start: Timestamp, by: i64) -> Timestamp {
        let last = self.starts.len() - 1;
        let index = (self.index(start) as i64).saturating_add(by);
        self.starts[index.clamp(0, last as i64) as usize]
    }

    pub(crate) fn count(&self, from: Timestamp, to: Timestamp) -> i64 {
        self.between(from, to).len() as i64
    }

    /// The starts from `from` on and before `to`.
    pub(crate) fn between(&self, from: Timestamp, to: Timestamp) -> &[Timestamp] {
        let place = |at| self.starts.partition_point(|start| *start < at);
        let (from, to) = (place(from), place(to));
        &self.starts[from..to.max(from)]
    }

    /// Of the day that holds `at`; of the first or last one, of what none holds.
    fn index(&self, at: Timestamp) -> usize {
        let after = self.starts.partition_point(|start| *start <= at);
        after.saturating_sub(1)
    }
}

/// The longest window kept that ends wherever one of the days does.
fn source(starts: &[Timestamp], kept: &[Window]) -> Result<Window, NoDays> {
    let fits = |window: &&Window| {
        // The end of time is no end of a window, and there is nothing to be split.
        let mut inner = starts.iter().filter(|start| **start < Timestamp::MAX);
        inner.all(|start| window.start(*start) == *start)
    };
    let longest = |windows: &[Window]| windows.iter().rev().find(fits).copied();
    longest(kept).ok_or_else(|| longest(&Window::ALL).map_or(NoDays::NotWhole, NoDays::NotKept))
}

/// The date that clocks show at an instant in microseconds.
fn date_at(zone: Tz, micros: i64) -> NaiveDate {
    let instant = DateTime::<Utc>::from_timestamp_micros(micros)
        .expect("chrono reaches far beyond the years 1 to 9999");
    instant.with_timezone(&zone).date_naive()
}

/// The first instant of a date. Mostly that is its midnight, the first of two where clocks
/// are set back over it. Where midnight is left out it is when clocks are set forward.
fn day_start(zone: Tz, date: NaiveDate) -> Timestamp {
    const SECOND: i64 = 1_000_000;
    /// No offset from UTC comes near it, in seconds.
    const REACH: i64 = 36 * 3600;
    let midnight = date.and_time(NaiveTime::MIN);
    let micros = match zone.from_local_datetime(&midnight).earliest() {
        Some(start) => start.timestamp_micros(),
        None => {
            let utc = midnight.and_utc().timestamp();
            let (mut before, mut from) = (utc - REACH, utc + REACH);
            while from - before > 1 {
                let middle = before.midpoint(from);
                if date_at(zone, middle * SECOND) < date {
                    before = middle;
                } else {
                    from = middle;
                }
            }
            from * SECOND
        }
    };
    let within = micros.clamp(Timestamp::MIN.micros(), Timestamp::MAX.micros());
    Timestamp::from_micros(within).expect("it was held within the range")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn over(zone: &str, from: &str, to: &str) -> Result<LocalDays, NoDays> {
        let Zone(zone) = zone.parse().unwrap();
        LocalDays::over(zone, (at(from), at(to)), false, &Window::ALL)
    }

    /// Where days start, how many hours they have, and of which window they are made.
    fn days(zone: &str, from: &str, to: &str) -> (String, Vec<f64>, Window) {
        let days = over(zone, from, to).unwrap();
        let hours = days.starts.windows(2).map(|pair| {
            let micros = pair[1].micros() - pair[0].micros();
            micros as f64 / 3.6e9
        });
        (days.starts[0].to_string(), hours.collect(), days.source)
    }

    #[test]
    fn days_are_as_long_as_clocks_make_them() {
        for (zone, from, to, expected) in [
            // Forward and back by an hour.
            (
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                "2026-03-30T12:00:00Z",
                ("2026-03-27T23:00:00Z", vec![24.0, 23.0, 24.0], Window::H1),
            ),
            (
                "Europe/Berlin",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
                ("2026-10-24T22:00:00Z", vec![25.0], Window::H1),
            ),
            // Midnight is left out: the day begins at 01:00.
            (
                "Asia/Beirut",
                "2026-03-28T22:00:00Z",
                "2026-03-29T21:00:00Z",
                ("2026-03-28T22:00:00Z", vec![23.0], Window::H1),
            ),
            // Midnight comes twice.
            (
                "America/Havana",
                "2025-11-02T12:00:00Z",
                "2025-11-02T13:00:00Z",
                ("2025-11-02T04:00:00Z", vec![25.0], Window::H1),
            ),
            // What would be midnight is 23:00 of the day before.
            (
                "America/Sao_Paulo",
                "2018-02-17T12:00:00Z",
                "2018-02-18T12:00:00Z",
                ("2018-02-17T02:00:00Z", vec![25.0, 24.0], Window::H1),
            ),
            // By half an hour.
            (
                "Australia/Lord_Howe",
                "2026-04-04T12:00:00Z",
                "2026-04-05T12:00:00Z",
                ("2026-04-03T13:00:00Z", vec![24.0, 24.5], Window::M15),
            ),
            (
                "Asia/Kolkata",
                "2026-03-01T00:00:00Z",
                "2026-03-01T00:00:01Z",
                ("2026-02-28T18:30:00Z", vec![24.0], Window::M15),
            ),
            // 30 December was left out.
            (
                "Pacific/Apia",
                "2011-12-30T09:00:00Z",
                "2011-12-30T11:00:00Z",
                ("2011-12-29T10:00:00Z", vec![24.0, 24.0], Window::H1),
            ),
            // Like UTC in winter, and then its days are those of UTC.
            (
                "Europe/London",
                "2026-01-01T00:00:00Z",
                "2026-01-03T00:00:00Z",
                ("2026-01-01T00:00:00Z", vec![24.0, 24.0], Window::D1),
            ),
            // By whole hours in January, not in July, which is not asked for.
            (
                "Australia/Lord_Howe",
                "2026-01-04T12:00:00Z",
                "2026-01-04T12:30:00Z",
                ("2026-01-03T13:00:00Z", vec![24.0], Window::H1),
            ),
        ] {
            let (start, hours, source) = days(zone, from, to);
            assert_eq!((start.as_str(), hours, source), expected, "{zone} {from}");
        }
    }

    #[test]
    fn a_window_that_is_not_kept_is_named() {
        let range = (at("2026-03-01T00:00:00Z"), at("2026-03-09T00:00:00Z"));
        let over = |zone: &str, kept: &[Window]| {
            let Zone(zone) = zone.parse().unwrap();
            LocalDays::over(zone, range, true, kept).map(|days| days.source())
        };
        let (m15, h1, d1) = (Window::M15, Window::H1, Window::D1);
        assert_eq!(over("Asia/Tokyo", &[d1]), Err(NoDays::NotKept(h1)));
        assert_eq!(over("Asia/Tokyo", &[m15, d1]), Ok(m15));
        assert_eq!(over("Asia/Kolkata", &[h1, d1]), Err(NoDays::NotKept(m15)));
        assert_eq!(over("Africa/Abidjan", &[d1]), Ok(d1));
    }

    #[test]
    fn ranges_that_have_no_days_are_told() {
        let decades = over("Asia/Tokyo", "2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        assert_eq!(decades, Err(NoDays::TooMany));
        let local_mean_time = over(
            "Europe/Berlin",
            "1880-01-01T00:00:00Z",
            "1880-01-02T00:00:00Z",
        );
        assert_eq!(local_mean_time, Err(NoDays::NotWhole));
        for end in ["0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z"] {
            let end = at(end);
            let range = (end.saturating_add_seconds(-86_400), end);
            assert!(LocalDays::over(Tz::Etc__GMTPlus5, range, true, &Window::ALL).is_ok());
        }
    }

    #[test]
    fn names_are_those_of_the_iana_database() {
        assert!("Etc/UTC".parse::<Zone>().unwrap().is_utc());
        assert!(!"Europe/London".parse::<Zone>().unwrap().is_utc());
        for bad in ["", "Europe/Atlantis", "+02:00", "CEST"] {
            assert_eq!(bad.parse::<Zone>(), Err(UnknownZone), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_day_holds_the_instants_of_its_date(
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            from in 0_i64..2_000_000_000,
            length in 1_i64..8_000_000,
            within in 0.0..1.0_f64,
        ) {
            let second = |s: i64| Timestamp::from_micros(s * 1_000_000).unwrap();
            let (from, to) = (second(from), second(from + length));
            let Ok(days) = LocalDays::over(zone, (from, to), true, &Window::ALL) else {
                // Liberia was 44 minutes and 30 seconds from UTC until 1972.
                prop_assert_eq!(zone, Tz::Africa__Monrovia);
                return Ok(());
            };
            prop_assert!(days.starts.is_sorted_by(|a, b| a < b));
            let first = days.start(from);
            let count = days.count(first, to);
            prop_assert!(first <= from && days.shifted(first, count) >= to);
            prop_assert!(days.shifted(first, count - 1) < to);
            // As many before.
            prop_assert_eq!(days.count(days.shifted(first, -count), first), count);
            for by in [0, count - 1, -count] {
                let (start, end) = (days.shifted(first, by), days.shifted(first, by + 1));
                let date = date_at(zone, start.micros());
                prop_assert!(date_at(zone, start.micros() - 1) < date);
                let inner = start.micros() + ((end.micros() - start.micros()) as f64 * within) as i64;
                prop_assert_eq!(days.start(Timestamp::from_micros(inner).unwrap()), start);
                // Clocks that are set back over midnight show the date of before for a while;
                // elsewhere a day is what has its date.
                if end.micros() - start.micros() <= 24 * 3_600_000_000 {
                    prop_assert_eq!(date_at(zone, inner), date);
                }
            }
        }
    }
}
