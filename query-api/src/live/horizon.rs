//! Which buckets are held in memory, and how far back the log must be read for them.
//!
//! An event may be five minutes ahead of its record's log time, and its delta is published
//! later still. So the deltas that the log took at or after an instant hold every event of the
//! minutes that begin five minutes after it: buckets from there on are whole.

use schemas::{Timestamp, Window};

/// By how much an event may be ahead of its record's log time.
const AHEAD_SECONDS: i64 = 300;

/// The log of so long is read first: enough for the windows shorter than an hour.
pub(crate) const RECENT_SECONDS: i64 = 2 * 3600;

/// How many buckets of a window are held, the newest by the clock.
pub(crate) const fn buckets_held(window: Window) -> i64 {
    match window {
        Window::M1 => 120,
        Window::M5 => 24,
        Window::M15 => 8,
        Window::H1 => 24,
        Window::D1 => 1,
    }
}

/// How many buckets a view has when nobody says: of short windows, an hour.
pub(crate) const fn buckets_by_default(window: Window) -> i64 {
    match window {
        Window::M1 => 60,
        Window::M5 => 12,
        Window::M15 => 4,
        Window::H1 => 24,
        Window::D1 => 1,
    }
}

/// The start of the oldest of the newest `buckets` of a window, the open one included.
pub(crate) fn oldest(window: Window, buckets: i64, now: Timestamp) -> Timestamp {
    let before_open = window.seconds().saturating_mul(buckets - 1);
    window.start(now).saturating_add_seconds(-before_open)
}

/// From which log time on everything must be read for all buckets that are held; no more than
/// `seconds` back.
pub(crate) fn read_from(now: Timestamp, seconds: i64) -> Timestamp {
    let oldest_of = |window| oldest(window, buckets_held(window), now);
    let oldest = Window::ALL.map(oldest_of).into_iter().min();
    let earliest = now.saturating_add_seconds(-seconds);
    oldest
        .unwrap_or(now)
        .max(earliest)
        .saturating_add_seconds(-AHEAD_SECONDS)
}

/// Buckets that start at or after this are whole, once the log was read from `log_time` on.
pub(crate) fn whole_from(log_time: Timestamp) -> Timestamp {
    log_time.saturating_add_seconds(AHEAD_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_log_is_read_so_far_that_every_bucket_held_is_whole() {
        for now in [
            "2026-03-01T00:00:00Z",
            "2026-03-01T12:34:56Z",
            "2026-03-01T23:59:59Z",
        ] {
            let now = at(now);
            let whole = whole_from(read_from(now, 7 * 86_400));
            for window in Window::ALL {
                assert!(
                    oldest(window, buckets_held(window), now) >= whole,
                    "{window}"
                );
            }
            // Short windows do not wait for more than what is read first.
            let whole = whole_from(read_from(now, RECENT_SECONDS));
            for window in [Window::M1, Window::M5, Window::M15] {
                assert!(
                    oldest(window, buckets_held(window), now) >= whole,
                    "{window}"
                );
            }
        }
    }

    #[test]
    fn the_open_bucket_is_one_of_those_asked_for() {
        let now = at("2026-03-01T12:34:56Z");
        assert_eq!(oldest(Window::M15, 1, now), at("2026-03-01T12:30:00Z"));
        assert_eq!(oldest(Window::M15, 4, now), at("2026-03-01T11:45:00Z"));
        assert!(
            Window::ALL
                .iter()
                .all(|w| buckets_by_default(*w) <= buckets_held(*w))
        );
    }
}
