//! One partition, and how far it is read.

use std::collections::BTreeSet;

use platform::kafka::admission::{Deduplicator, Sighting};
use platform::kafka::refusals::Refusals;
use schemas::{Event, Timestamp};

/// How a session is to take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It was counted before, and is read for its id.
    Known,
    /// It was refused before, whatever would be said of it now.
    Refused,
    /// It is new.
    New,
}

/// A partition that is read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The first record that was not counted before. Those up to it are read for their ids.
    first: i64,
    /// Which of those were refused.
    refused_before: BTreeSet<i64>,
    pub(super) seen: Deduplicator,
    refusals: Refusals,
    /// The next offset and the last log time, if not committed.
    pub(super) uncommitted: Option<(i64, Timestamp)>,
    /// The log time up to which there is nothing more to read.
    pub(super) until: Option<Timestamp>,
    /// The watermark that was published last.
    pub(super) published: Option<Timestamp>,
}

impl Reading {
    pub(super) fn new(
        first: i64,
        refused_before: BTreeSet<i64>,
        seen: Deduplicator,
        refusals: Refusals,
    ) -> Self {
        Self {
            first,
            refused_before,
            seen,
            refusals,
            uncommitted: None,
            until: None,
            published: None,
        }
    }

    /// How the record at `offset` is to be taken.
    pub(crate) fn part(&self, offset: i64) -> Part {
        if self.refused_before.contains(&offset) {
            Part::Refused
        } else if offset < self.first {
            Part::Known
        } else {
            Part::New
        }
    }

    /// Whether refusing one more record were too many, and how many of the last ones were.
    pub(crate) fn too_many_refused(&self) -> Option<(usize, usize)> {
        let refusals = &self.refusals;
        refusals.would_exceed().then(|| refusals.share())
    }

    /// Takes note that a record was read, and whether it was refused.
    pub(crate) fn read(&mut self, offset: i64, log_time: Timestamp, refused: bool) {
        self.refusals.take(refused);
        self.reached(log_time);
        if offset >= self.first {
            self.uncommitted = Some((offset + 1, log_time));
        }
    }

    /// What the id of a sound event says.
    pub(crate) fn see(&mut self, event: &Event, log_time: Timestamp) -> Sighting {
        self.seen.see(event, log_time)
    }

    pub(super) fn reached(&mut self, log_time: Timestamp) {
        self.until = self.until.max(Some(log_time));
    }
}
