//! The five windows of event time, in UTC.

use std::{fmt, str::FromStr};

use crate::Timestamp;

/// A tumbling window. All start at multiples of their length since the Unix epoch, so a
/// day starts at midnight UTC and every window is a union of shorter ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// One minute.
    M1,
    /// Five minutes.
    M5,
    /// A quarter of an hour.
    M15,
    /// One hour.
    H1,
    /// One day.
    D1,
}

/// Not the name of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of 1m, 5m, 15m, 1h, 1d")]
pub struct UnknownWindow;

impl Window {
    /// All, shortest first.
    pub const ALL: [Self; 5] = [Self::M1, Self::M5, Self::M15, Self::H1, Self::D1];

    /// The name used in settings, queries and table names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M1 => "1m",
            Self::M5 => "5m",
            Self::M15 => "15m",
            Self::H1 => "1h",
            Self::D1 => "1d",
        }
    }

    /// The length in seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::M1 => 60,
            Self::M5 => 300,
            Self::M15 => 900,
            Self::H1 => 3_600,
            Self::D1 => 86_400,
        }
    }

    /// The start of the window that holds `at`; windows hold their start and not their end.
    pub const fn start(self, at: Timestamp) -> Timestamp {
        let length = self.seconds() * 1_000_000;
        match Timestamp::from_micros(at.micros().div_euclid(length) * length) {
            Ok(start) => start,
            // Timestamp::MIN is a midnight, so no window reaches before it.
            Err(_) => Timestamp::MIN,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Window {
    type Err = UnknownWindow;
    fn from_str(text: &str) -> Result<Self, UnknownWindow> {
        Self::ALL
            .into_iter()
            .find(|w| w.as_str() == text)
            .ok_or(UnknownWindow)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, TimeZone, Timelike, Utc};
    use proptest::prelude::*;

    use super::*;

    fn starts(at: &str) -> [String; 5] {
        let at: Timestamp = at.parse().unwrap();
        Window::ALL.map(|w| w.start(at).to_string())
    }

    #[test]
    fn leap_day_year_end_epoch_and_the_ends_of_time() {
        assert_eq!(
            starts("2024-02-29T23:59:59.999999Z"),
            [
                "2024-02-29T23:59:00Z",
                "2024-02-29T23:55:00Z",
                "2024-02-29T23:45:00Z",
                "2024-02-29T23:00:00Z",
                "2024-02-29T00:00:00Z"
            ]
        );
        assert_eq!(
            starts("2025-12-31T23:59:59.999999Z")[4],
            "2025-12-31T00:00:00Z"
        );
        assert_eq!(starts("2026-01-01T00:00:00Z"), ["2026-01-01T00:00:00Z"; 5]);
        assert_eq!(starts("1970-01-01T00:00:00Z"), ["1970-01-01T00:00:00Z"; 5]);
        assert_eq!(
            starts("1969-12-31T23:59:59.999999Z"),
            [
                "1969-12-31T23:59:00Z",
                "1969-12-31T23:55:00Z",
                "1969-12-31T23:45:00Z",
                "1969-12-31T23:00:00Z",
                "1969-12-31T00:00:00Z"
            ]
        );
        for window in Window::ALL {
            assert_eq!(window.start(Timestamp::MIN), Timestamp::MIN);
            assert_eq!(
                window
                    .start(Timestamp::MAX)
                    .saturating_add_seconds(window.seconds()),
                Timestamp::MAX
            );
        }
    }

    #[test]
    fn names_go_both_ways() {
        for window in Window::ALL {
            assert_eq!(window.to_string().parse(), Ok(window));
        }
        assert_eq!("2h".parse::<Window>(), Err(UnknownWindow));
    }

    proptest! {
        #[test]
        fn a_start_is_where_the_calendar_says(micros in Timestamp::MIN.micros()..=Timestamp::MAX.micros()) {
            let at = Timestamp::from_micros(micros).unwrap();
            let t = DateTime::<Utc>::from(at);
            for window in Window::ALL {
                let (hour, minute) = match window {
                    Window::M1 => (t.hour(), t.minute()),
                    Window::M5 => (t.hour(), t.minute() / 5 * 5),
                    Window::M15 => (t.hour(), t.minute() / 15 * 15),
                    Window::H1 => (t.hour(), 0),
                    Window::D1 => (0, 0),
                };
                let expected = Utc.with_ymd_and_hms(t.year(), t.month(), t.day(), hour, minute, 0).unwrap();
                prop_assert_eq!(DateTime::<Utc>::from(window.start(at)), expected);
                prop_assert_eq!(window.start(window.start(at)), window.start(at));
            }
        }
    }
}
