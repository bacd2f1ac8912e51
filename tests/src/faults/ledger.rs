//! What was sent, and what the senders were told: what everything else is held against.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// An id counts within its organization.
pub(crate) type EventKey = (Uuid, Uuid);

/// What the sender of an event knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer never came: it may be in the log or not.
    Unknown,
    Accepted,
    /// It never will be accepted.
    Refused,
}

/// An event, however often it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// How often something else was sent under its id, and how often that was accepted.
    pub(crate) conflicts_sent: u32,
    pub(crate) conflicts_accepted: u32,
    /// How often it was sent without an answer. A copy may still be on its way, and come to
    /// the log after something else under its id.
    pub(crate) unanswered: u32,
}

/// A header: name and value.
pub(crate) type Header = (String, Option<Vec<u8>>);

/// A record that does not count.
#[derive(Clone, Debug)]
pub(crate) struct Poison {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
    pub(crate) reason: &'static str,
    /// Partition and offset; `None` when the broker never told.
    pub(crate) place: Option<(i32, i64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) events: HashMap<EventKey, Sent>,
    /// By the id in their header [`Poison::ID`].
    pub(crate) poison: HashMap<Uuid, Poison>,
    pub(crate) last_accepted: Option<EventKey>,
    /// Events that were accepted once more.
    pub(crate) repeated: u64,
}

impl Poison {
    /// A header by which a record is found again when the broker did not tell where it is.
    pub(crate) const ID: &str = "fault-id";
}

impl Books {
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        let events = self.events.values();
        events.filter(|sent| sent.outcome == outcome).count()
    }
}

/// Shared by all senders.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

impl Ledger {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // A sender that panicked is told of when the load ends.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event is about to be sent.
    pub(crate) fn sending(&self, key: EventKey) {
        self.books().events.entry(key).or_insert(Sent {
            outcome: Outcome::Unknown,
            conflicts_sent: 0,
            conflicts_accepted: 0,
            unanswered: 0,
        });
    }

    /// An event has its answer.
    pub(crate) fn answered(&self, key: EventKey, outcome: Outcome) {
        let books = &mut *self.books();
        let sent = books.events.get_mut(&key).expect("it was sent");
        match (sent.outcome, outcome) {
            (_, Outcome::Unknown) => sent.unanswered += 1,
            (Outcome::Accepted, Outcome::Accepted) => books.repeated += 1,
            (Outcome::Unknown, known) => sent.outcome = known,
            (before, now) => assert_eq!(before, now, "event {key:?} got two answers"),
        }
        if outcome == Outcome::Accepted {
            books.last_accepted = Some(key);
        }
    }

    /// Something else under the id of an accepted event is about to be sent, or was accepted.
    pub(crate) fn conflict(&self, key: EventKey, accepted: bool) {
        let books = &mut *self.books();
        let sent = books.events.get_mut(&key).expect("it was sent");
        if accepted {
            sent.conflicts_accepted += 1;
        } else {
            sent.conflicts_sent += 1;
        }
    }

    /// A record that does not count is about to be produced.
    pub(crate) fn poisoning(&self, id: Uuid, poison: Poison) {
        self.books().poison.insert(id, poison);
    }

    /// The broker has it.
    pub(crate) fn poisoned(&self, id: Uuid, place: (i32, i64)) {
        let books = &mut *self.books();
        books.poison.get_mut(&id).expect("it was sent").place = Some(place);
    }
}
