//! Receipts of the events this instance accepted lately.

use std::time::Duration;

use moka::{policy::EvictionPolicy, sync::Cache};
use platform::telemetry::names;
use schemas::{EventKind, Timestamp, event::Common};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// How long a receipt is kept.
pub(crate) const KEPT: Duration = Duration::from_secs(3600);

/// A record's place in the log of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub(crate) struct Place {
    /// The partition.
    pub(crate) partition: i32,
    /// The offset in it.
    pub(crate) offset: i64,
}

/// An accepted event: who it is, whose it is, and where the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) kind: EventKind,
    pub(crate) event_id: Uuid,
    pub(crate) organization_id: Uuid,
    /// Event time: where the tables would have it.
    pub(crate) timestamp: Timestamp,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) team_id: Option<Uuid>,
    pub(crate) place: Place,
    /// When the broker's acknowledgement was here.
    pub(crate) accepted_at: Timestamp,
}

impl Receipt {
    pub(crate) fn new(kind: EventKind, event: &Common, place: Place, now: Timestamp) -> Self {
        Self {
            kind,
            event_id: event.event_id,
            organization_id: event.organization_id,
            timestamp: event.timestamp,
            user_id: event.user_id,
            team_id: event.team_id,
            place,
            accepted_at: now,
        }
    }
}

/// The receipts by organization, event and kind: an id may stand once in each kind.
pub(crate) struct Book {
    kept: Cache<(Uuid, Uuid, EventKind), Receipt>,
}

impl Book {
    /// Keeps the latest `capacity` receipts for an hour, in about 500 bytes each.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            kept: Cache::builder()
                .max_capacity(capacity)
                // The default policy may refuse a newcomer in favour of what is asked for often.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(KEPT)
                .build(),
        }
    }

    /// Keeps them. Of an event accepted twice the later record counts.
    pub(crate) fn note<'a>(&self, receipts: impl Iterator<Item = &'a Receipt>) {
        for receipt in receipts {
            let event = (receipt.organization_id, receipt.event_id, receipt.kind);
            self.kept.insert(event, *receipt);
        }
        metrics::gauge!(names::RECEIPTS_KEPT).set(self.kept.entry_count() as f64);
    }

    /// The receipts of an id, in the order of kinds.
    pub(crate) fn find(&self, organization_id: Uuid, event_id: Uuid) -> Vec<Receipt> {
        let of = |kind| self.kept.get(&(organization_id, event_id, kind));
        EventKind::ALL.into_iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(kind: EventKind, organization: u128, event: u128, offset: i64) -> Receipt {
        let now = Timestamp::from_millis(1_800_000_000_000).unwrap();
        let common = Common {
            event_id: Uuid::from_u128(event),
            organization_id: Uuid::from_u128(organization),
            timestamp: now,
            user_id: None,
            team_id: None,
            project_id: None,
        };
        let place = Place {
            partition: 0,
            offset,
        };
        Receipt::new(kind, &common, place, now)
    }

    #[test]
    fn an_id_may_stand_once_in_each_kind_and_belongs_to_its_organization() {
        let book = Book::new(100);
        let first = receipt(EventKind::CommandExecution, 1, 7, 1);
        let again = receipt(EventKind::CommandExecution, 1, 7, 9);
        let session = receipt(EventKind::UserSession, 1, 7, 3);
        book.note([session, first, again].iter());
        let id = Uuid::from_u128(7);
        assert_eq!(book.find(Uuid::from_u128(1), id), [again, session]);
        assert_eq!(book.find(Uuid::from_u128(2), id), []);
    }

    #[test]
    fn the_oldest_receipts_go_first() {
        let book = Book::new(10);
        let all: Vec<_> = (0..50)
            .map(|n| receipt(EventKind::CommandExecution, 1, n, 0))
            .collect();
        book.note(all.iter());
        book.kept.run_pending_tasks();
        assert_eq!(book.kept.entry_count(), 10);
        let known = |n| !book.find(Uuid::from_u128(1), Uuid::from_u128(n)).is_empty();
        assert!(known(49) && !known(0));
    }
}
