//! The rules that several kinds of events share.

use std::ops::RangeInclusive;

use crate::{Timestamp, fault::Faults, free_object::FreeObject};

/// How far an event's time may lie ahead of its record's, in seconds.
pub(super) const MAX_AHEAD_SECONDS: i64 = 300;

/// What an event is judged against besides its own fields. Both come from the log and the
/// configuration, never from a clock, so that every consumer decides alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidationContext {
    /// When the log took the record (or, in the gateway, is about to).
    pub record_time: Timestamp,
    /// How far back events are kept, in seconds.
    pub retention_seconds: i64,
}

impl ValidationContext {
    pub(super) fn check_time(&self, at: Timestamp, faults: &mut Faults) {
        let latest = self.record_time.saturating_add_seconds(MAX_AHEAD_SECONDS);
        let earliest = self
            .record_time
            .saturating_add_seconds(-self.retention_seconds);
        if at > latest {
            faults.push(
                "/timestamp",
                "timestamp_in_future",
                "is more than 5 minutes ahead",
            );
        } else if at < earliest {
            faults.push(
                "/timestamp",
                "timestamp_too_old",
                "is older than events are kept",
            );
        }
    }
}

pub(super) fn text(at: &str, text: &str, length: RangeInclusive<usize>, faults: &mut Faults) {
    // Bytes bound characters, so that a huge text is not counted.
    let count = if text.len() > length.end() * 4 {
        usize::MAX
    } else {
        text.chars().count()
    };
    if !length.contains(&count) {
        let (min, max) = (length.start(), length.end());
        faults.push(at, "length", format!("must have {min} to {max} characters"));
    } else if text.contains('\0') {
        faults.push(at, "nul_character", "holds U+0000, which cannot be stored");
    }
}

pub(super) fn optional_text(
    at: &str,
    value: Option<&str>,
    length: RangeInclusive<usize>,
    faults: &mut Faults,
) {
    if let Some(value) = value {
        text(at, value, length, faults);
    }
}

pub(super) fn integer(at: &str, value: i64, range: RangeInclusive<i64>, faults: &mut Faults) {
    if !range.contains(&value) {
        let (min, max) = (range.start(), range.end());
        faults.push(at, "range", format!("must be {min} to {max}"));
    }
}

pub(super) fn number(at: &str, value: f64, range: RangeInclusive<f64>, faults: &mut Faults) {
    // Not a number is in no range.
    if !range.contains(&value) {
        let (min, max) = (range.start(), range.end());
        faults.push(at, "range", format!("must be a number from {min} to {max}"));
    }
}

pub(super) fn object(at: &str, value: &mut Option<FreeObject>, faults: &mut Faults) {
    if let Some(value) = value {
        value.normalize(at, faults);
    }
}
