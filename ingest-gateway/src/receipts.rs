//! What became of accepted events: where they are in the log, and whether they are stored.
//!
//! ```text
//! publish ─▶ book of receipts ──────────────▶ GET /events/{id}
//!    └─────▶ watch (if asked to wait) ─▶ 200      ▲
//!                 └──────── lookup ───────────────┘
//!                              └─▶ storage (the tenants' views, when there is a database)
//! ```
//!
//! The database is optional. Without it events are accepted all the same; only what is
//! said of them afterwards is less.

mod answer;
mod book;
pub(crate) mod events;
mod fate;
mod lookup;
mod openapi;
mod storage;
mod wait;
mod watch;

use std::{iter::repeat, sync::Arc, time::Duration};

use platform::{config::DatabaseConfig, database::DatabaseError};
use schemas::Topics;
use tokio::sync::Semaphore;

pub(crate) use self::{
    answer::{
        Accepted, AcceptedResult, SessionAccepted, Settled, Tally, session_answer, single_answer,
    },
    book::{Book, Place, Receipt},
    fate::Fate,
    openapi::Waiting,
    wait::{Wait, WaitLimits},
};
use self::{storage::Storage, watch::Watch};

/// The receipts, those who wait, and the database, if there is one.
pub(crate) struct Receipts {
    pub(crate) book: Arc<Book>,
    pub(crate) limits: WaitLimits,
    topics: Topics,
    storage: Option<Storage>,
    watch: Option<Watch>,
    /// Requests that wait. They take the places of others meanwhile, so not all may.
    waiting: Semaphore,
    /// One look-up of a single event at a time: the pool's other connection is the watch's.
    looking: Semaphore,
}

impl Receipts {
    /// Connects to the database behind, if one is configured, as long as it takes. At most
    /// `most_waiting` requests wait at a time.
    ///
    /// # Errors
    /// The database's address cannot be read.
    pub(crate) fn start(
        book: Arc<Book>,
        limits: WaitLimits,
        topics: &Topics,
        database: Option<&DatabaseConfig>,
        most_waiting: usize,
    ) -> Result<Self, DatabaseError> {
        let storage = database.map(Storage::start).transpose()?;
        Ok(Self {
            book,
            limits,
            topics: topics.clone(),
            watch: storage
                .as_ref()
                .map(|storage| Watch::start(storage.clone(), topics.clone())),
            storage,
            waiting: Semaphore::new(most_waiting),
            looking: Semaphore::new(1),
        })
    }

    /// Waits until each event came to an end, as long as the request asks for. `false`: they
    /// were not waited for, unasked, for lack of a database, or because too many wait.
    pub(crate) async fn settle(&self, events: &mut [&mut Settled], wait: &Wait) -> bool {
        let Some(bound) = wait.bound() else {
            return false;
        };
        let receipts: Vec<_> = events.iter().map(|event| event.receipt).collect();
        let fates = match (&self.watch, self.waiting.try_acquire()) {
            (Some(watch), Ok(_place)) => watch.fates(&receipts, bound).await,
            _ => None,
        };
        let waited = fates.is_some();
        let fates = fates.into_iter().flatten().chain(repeat(Fate::Accepted));
        for (event, fate) in events.iter_mut().zip(fates) {
            fate::count(&fate, waited);
            event.fate = fate;
        }
        waited
    }
}

/// How long a look-up may take before the database counts as away.
const LOOKUP_BOUND: Duration = Duration::from_secs(2);
