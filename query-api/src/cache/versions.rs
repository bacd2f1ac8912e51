//! Which versions are the newest, as far as can be known.
//!
//! Known is what a snapshot showed, and what was told since by the database's notifications.
//! That holds only while those are listened to: with the connection, everything is forgotten.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use platform::database::{TenantTx, changes::INSTALLATION};
use schemas::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use crate::failure::QueryFailure;

/// For how long nothing is missed for sure after a sign of life of the connection: one that is
/// cut without a word says nothing.
const TRUST: Duration = Duration::from_secs(5);

/// Organizations whose version is known; beyond, all are forgotten.
const MOST_KNOWN: usize = 100_000;

/// Which rows an answer was made of: versions of the organization and of the watermarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    pub(super) organization: i64,
    pub(super) watermark: i64,
}

/// What a snapshot shows besides the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// `None` for an organization that never had rows.
    pub(super) stamp: Option<Stamp>,
    /// The watermark of all that is stored; `None` while it is not known. Read before the rows
    /// that it is to speak of: what it covers was written when it was.
    pub(super) watermark: Option<Timestamp>,
}

impl Shown {
    /// In one statement, since each more is a round trip of every answer.
    pub(super) async fn read(transaction: &mut TenantTx) -> Result<Self, QueryFailure> {
        const SHOWN: &str = "select v.version, v.watermark_version, w.until from (values (1)) one \
             left join tenant.organization_version v on true left join tenant.watermark w on true";
        let row = sqlx::query(SHOWN)
            .fetch_one(transaction.connection())
            .await?;
        let versions: (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        let stamp = match versions {
            (Some(organization), Some(watermark)) => Some(Stamp {
                organization,
                watermark,
            }),
            _ => None,
        };
        let until: Option<DateTime<Utc>> = row.try_get(2)?;
        let watermark = until.and_then(|until| Timestamp::try_from(until).ok());
        Ok(Self { stamp, watermark })
    }
}

/// A time of listening without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session(u64);

/// The newest versions.
#[derive(Debug, Default)]
pub(super) struct Versions(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    session: u64,
    /// The last sign of life; `None`: nobody listens.
    alive_at: Option<Instant>,
    known: HashMap<Uuid, i64>,
}

impl State {
    fn is_trusted(&self) -> bool {
        self.alive_at.is_some_and(|at| at.elapsed() < TRUST)
    }

    fn forget(&mut self) {
        self.session += 1;
        self.known.clear();
    }

    fn raise(&mut self, organization: Uuid, version: i64) {
        let known = self.known.entry(organization).or_insert(version);
        *known = version.max(*known);
    }
}

impl Versions {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest of an organization, if it is known for sure.
    pub(super) fn known(&self, organization: Uuid) -> Option<Stamp> {
        let state = self.read();
        let stamp = Stamp {
            organization: *state.known.get(&organization)?,
            watermark: *state.known.get(&INSTALLATION)?,
        };
        state.is_trusted().then_some(stamp)
    }

    /// What was begun to be listened to, if it is; to be asked before a snapshot is taken
    /// that is to be noted.
    pub(super) fn session(&self) -> Option<Session> {
        let state = self.read();
        state.is_trusted().then_some(Session(state.session))
    }

    /// A snapshot that was taken during a session showed a stamp; `false` when the session is
    /// over, so that nothing is known.
    pub(super) fn note(&self, session: Session, organization: Uuid, stamp: Stamp) -> bool {
        let mut state = self.write();
        if state.session != session.0 || !state.is_trusted() {
            return false;
        }
        state.raise(organization, stamp.organization);
        state.raise(INSTALLATION, stamp.watermark);
        true
    }

    /// Newer versions were told.
    pub(super) fn told(&self, changes: Vec<(Uuid, i64)>) {
        let mut state = self.write();
        // All of them, also of organizations that nobody asked for yet: somebody may be about
        // to note an older snapshot.
        for (organization, version) in changes {
            state.raise(organization, version);
        }
        if state.known.len() > MOST_KNOWN {
            state.forget();
        }
    }

    /// Listening began, by a statement sent at an instant.
    pub(super) fn begun(&self, at: Instant) {
        let mut state = self.write();
        state.forget();
        state.alive_at = Some(at);
    }

    /// The connection was asked at an instant, and has answered.
    pub(super) fn alive(&self, at: Instant) {
        self.write().alive_at = Some(at);
    }

    /// The connection is lost, or does not say what we understand.
    pub(super) fn lost(&self) {
        let mut state = self.write();
        state.forget();
        state.alive_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Uuid = Uuid::from_u128(1);

    fn stamp(organization: i64, watermark: i64) -> Stamp {
        Stamp {
            organization,
            watermark,
        }
    }

    #[test]
    fn an_older_snapshot_does_not_hide_what_was_told() {
        let versions = Versions::default();
        versions.begun(Instant::now());
        let session = versions.session().unwrap();
        assert_eq!(versions.known(OURS), None);
        versions.told(vec![(OURS, 5)]);
        assert!(versions.note(session, OURS, stamp(4, 9)));
        assert_eq!(versions.known(OURS), Some(stamp(5, 9)));
        versions.told(vec![(INSTALLATION, 10), (OURS, 6)]);
        assert_eq!(versions.known(OURS), Some(stamp(6, 10)));
    }

    #[test]
    fn with_the_connection_everything_is_forgotten() {
        let versions = Versions::default();
        assert_eq!(versions.session(), None);
        versions.begun(Instant::now());
        let earlier = versions.session().unwrap();
        assert!(versions.note(earlier, OURS, stamp(1, 1)));
        versions.lost();
        assert_eq!((versions.known(OURS), versions.session()), (None, None));
        versions.begun(Instant::now());
        // Between the two, newer ones may have been missed.
        assert!(!versions.note(earlier, OURS, stamp(1, 1)));
        assert_eq!(versions.known(OURS), None);
    }

    #[test]
    fn a_connection_without_a_sign_of_life_is_not_believed() {
        let versions = Versions::default();
        let now = Instant::now();
        versions.begun(now);
        let session = versions.session().unwrap();
        assert!(versions.note(session, OURS, stamp(1, 1)));
        versions.alive(now.checked_sub(TRUST).unwrap());
        assert_eq!((versions.known(OURS), versions.session()), (None, None));
        versions.alive(Instant::now());
        assert_eq!(versions.known(OURS), Some(stamp(1, 1)));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let versions = Versions::default();
        versions.begun(Instant::now());
        let session = versions.session().unwrap();
        let many = (0..=MOST_KNOWN as u128).map(|id| (Uuid::from_u128(id), 1));
        versions.told(many.collect());
        assert!(!versions.note(session, OURS, stamp(1, 1)));
        assert_eq!(versions.known(OURS), None);
        assert!(versions.session().is_some());
    }
}
