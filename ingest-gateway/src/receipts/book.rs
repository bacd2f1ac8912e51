//! Receipts of the events this instance accepted lately.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hashbrown::HashTable;
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

    fn key(&self) -> (Uuid, Uuid, EventKind) {
        (self.organization_id, self.event_id, self.kind)
    }
}

/// The latest receipts.
pub(crate) struct Book {
    kept: Mutex<Kept>,
    capacity: usize,
    size: metrics::Gauge,
}

/// They come in the order of time, and are found by their numbers in it.
#[derive(Default)]
struct Kept {
    /// With the time each was noted at, the oldest first.
    receipts: VecDeque<(Receipt, Instant)>,
    /// The number of the oldest.
    first: usize,
    /// The numbers by organization, event and kind: an id may stand once in each kind.
    numbers: HashTable<usize>,
    hashes: RandomState,
}

impl Book {
    /// Keeps the latest `capacity` receipts for an hour, in about 200 bytes each.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            kept: Mutex::default(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            size: metrics::gauge!(names::RECEIPTS_KEPT),
        }
    }

    /// Keeps them. Of an event accepted twice the later record counts.
    pub(crate) fn note<'a>(&self, receipts: impl Iterator<Item = &'a Receipt>) {
        let mut kept = self.kept();
        let now = Instant::now();
        for receipt in receipts {
            kept.add(receipt, now);
        }
        kept.forget(self.capacity, now);
        self.size.set(kept.numbers.len() as f64);
    }

    /// The receipts of an id, in the order of kinds.
    pub(crate) fn find(&self, organization_id: Uuid, event_id: Uuid) -> Vec<Receipt> {
        let mut kept = self.kept();
        kept.forget(self.capacity, Instant::now());
        let of = |kind| kept.find((organization_id, event_id, kind));
        EventKind::ALL.into_iter().filter_map(of).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, receipt: &Receipt, now: Instant) {
        let Self {
            receipts,
            first,
            numbers,
            hashes,
        } = self;
        let key = receipt.key();
        let key_of = |number: &usize| receipts[number - *first].0.key();
        let number = *first + receipts.len();
        numbers
            .entry(
                hashes.hash_one(key),
                |other| key_of(other) == key,
                |other| hashes.hash_one(key_of(other)),
            )
            .and_modify(|other| *other = number)
            .or_insert(number);
        receipts.push_back((*receipt, now));
    }

    fn find(&self, key: (Uuid, Uuid, EventKind)) -> Option<Receipt> {
        let receipt = |number: &usize| self.receipts[number - self.first].0;
        let hash = self.hashes.hash_one(key);
        let found = self.numbers.find(hash, |n| receipt(n).key() == key);
        found.map(receipt)
    }

    /// Forgets the oldest beyond `capacity`, and what is too old.
    fn forget(&mut self, capacity: usize, now: Instant) {
        while let Some((receipt, at)) = self.receipts.front()
            && (self.receipts.len() > capacity || now - *at >= KEPT)
        {
            let hash = self.hashes.hash_one(receipt.key());
            // One that was accepted again has another number.
            if let Ok(entry) = self.numbers.find_entry(hash, |n| *n == self.first) {
                entry.remove();
            }
            self.receipts.pop_front();
            self.first += 1;
        }
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
        let known = |n| !book.find(Uuid::from_u128(1), Uuid::from_u128(n)).is_empty();
        assert_eq!((0..50).filter(|n| known(*n)).count(), 10);
        assert!(known(49) && !known(39));
    }

    #[test]
    fn one_that_was_accepted_again_is_kept_from_then_on() {
        let event = |n, offset| receipt(EventKind::CommandExecution, 1, n, offset);
        let began = Instant::now();
        let second = Duration::from_secs(1);
        let mut kept = Kept::default();
        kept.add(&event(1, 1), began);
        kept.add(&event(2, 2), began + second);
        kept.add(&event(1, 3), began + 2 * second);
        let mut left = |capacity, now| {
            kept.forget(capacity, now);
            let found = [1, 2].map(|n| kept.find(event(n, 0).key()));
            found.map(|receipt| receipt.map(|receipt| receipt.place.offset))
        };
        assert_eq!(left(3, began), [Some(3), Some(2)]);
        assert_eq!(left(2, began), [Some(3), Some(2)]);
        assert_eq!(left(2, began + KEPT + second), [Some(3), None]);
        assert_eq!(left(2, began + KEPT + 2 * second), [None, None]);
        assert!(kept.receipts.is_empty() && kept.numbers.is_empty());
    }
}
