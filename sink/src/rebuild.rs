//! Recomputing rollups from the raw rows, while everything runs; and raw rows from the log.
//!
//! In every committed state of the database rollups equal raw rows, because the sink writes
//! both in one transaction. So one snapshot tells whether they do, and nothing on its way has
//! to be waited for. What differs is computed anew under the lock that the sink merges an
//! organization's rollups under, and written.
//!
//! Days of which retention has removed raw rows are left as they are.

mod boundaries;
mod compare;
pub(crate) mod raw;
mod restore;

use std::{collections::BTreeMap, future::ready};

use futures_util::{FutureExt, future::BoxFuture};
use platform::{
    database::{DatabaseUrl, Role, changes, connect},
    kafka::{log_reader::LogReaderError, registry::LookupError},
};
use schemas::{Timestamp, Window};
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

pub use self::compare::Difference;
use crate::{
    SinkConfig,
    by_user::by_user,
    erase::residual,
    expand::expand,
    store::{StoreError, rollups},
};

const DAY_SECONDS: i64 = 86_400;

/// What to recompute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// Events from this instant on; the day that holds it is taken as a whole.
    pub from: Timestamp,
    /// Events before this instant; likewise.
    pub to: Timestamp,
    /// Of this organization alone.
    pub organization: Option<Uuid>,
    /// Tell what differs, and write nothing.
    pub dry_run: bool,
    /// First restore raw rows that Kafka still has and the database lacks.
    pub from_kafka: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Of the log so many records were read, and so many events restored.
    Restored {
        /// Records.
        read: u64,
        /// Events.
        restored: u64,
    },
    /// A day was compared.
    Compared(Step),
}

/// One organization's day, done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many of these are done, this one included.
    pub done: usize,
    /// Of how many.
    pub of: usize,
    /// Whose.
    pub organization_id: Uuid,
    /// Which day, by its start.
    pub day: Timestamp,
    /// What was found; `None`: raw rows of the day were removed by retention, and so it was
    /// left as it is.
    pub compared: Option<Compared>,
}

/// What a day's comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many events the day has.
    pub events: u64,
    /// What differed, by window.
    pub windows: BTreeMap<Window, Difference>,
}

impl Compared {
    /// What differed in all windows.
    pub fn difference(&self) -> Difference {
        let mut all = Difference::default();
        self.windows.values().for_each(|window| all += *window);
        all
    }
}

/// Told what a comparison does. A closure over steps is one that keeps no record.
pub trait Watch: Send {
    /// A day is about to be healed, in the transaction that will have healed it: what is
    /// written here is kept if and only if the day is.
    fn healing<'a>(
        &'a mut self,
        _transaction: &'a mut PgConnection,
        _step: &'a Step,
    ) -> BoxFuture<'a, sqlx::Result<()>> {
        ready(Ok(())).boxed()
    }

    /// A day is done; `false` ends the comparison.
    fn compared(&mut self, step: Step) -> bool;
}

impl<F: FnMut(Step) -> bool + Send> Watch for F {
    fn compared(&mut self, step: Step) -> bool {
        self(step)
    }
}

/// Why it ended early. What was done until then stays done.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The database's.
    #[error(transparent)]
    Store(Box<dyn std::error::Error + Send + Sync>),
    /// Kafka's.
    #[error(transparent)]
    Kafka(#[from] LogReaderError),
    /// A schema cannot be looked up.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The registry's address is none.
    #[error("SCHEMA_REGISTRY_URL: {0}")]
    Registry(String),
    /// A fault of ours.
    #[error("the reader of the log panicked")]
    ReaderPanicked,
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// Recomputes, and tells each step to `progress`, which may end it by saying `false`.
///
/// # Errors
/// See [`RebuildError`].
pub async fn rebuild(
    config: &SinkConfig,
    request: &Rebuild,
    mut progress: impl FnMut(Progress) -> bool + Send,
) -> Result<(), RebuildError> {
    let url = DatabaseUrl::parse(config.database.url.expose_secret()).map_err(StoreError::from)?;
    let password = config.database.sink_password.as_ref();
    let pool = connect(&url, 2, "flowmeter-rebuild", Role::Sink, password)
        .await
        .map_err(StoreError::from)?;
    if request.from_kafka && !request.dry_run {
        let told = |read, restored| progress(Progress::Restored { read, restored });
        if !restore::restore(config, &pool, request, told).await? {
            return Ok(());
        }
    }
    compare(&pool, &config.windows, request, |step| {
        progress(Progress::Compared(step))
    })
    .await?;
    Ok(())
}

/// Compares rollups with raw rows and writes what differs, over `pool`, whose role may read
/// the ones and write the others. Nothing is read from Kafka.
///
/// # Errors
/// [`RebuildError::Store`].
pub async fn compare(
    pool: &PgPool,
    windows: &[Window],
    request: &Rebuild,
    mut watch: impl Watch,
) -> Result<(), RebuildError> {
    let days: Vec<Timestamp> = days(request.from, request.to).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return Ok(());
    };
    let organizations = match request.organization {
        Some(organization) => vec![organization],
        None => raw::organizations(pool, *first, next_day(*last)).await?,
    };
    let (of, mut done) = (organizations.len() * days.len(), 0);
    for day in days {
        for organization_id in &organizations {
            done += 1;
            let mut step = Step {
                done,
                of,
                organization_id: *organization_id,
                day,
                compared: None,
            };
            let recomputed = Recomputed {
                windows,
                organization_id: *organization_id,
                from: day,
                to: next_day(day),
            };
            recomputed
                .run(pool, request.dry_run, &mut step, &mut watch)
                .await?;
            if !watch.compared(step) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The days, by their starts, that hold instants from `from` on and before `to`. The longest
/// window is a day, so nothing reaches beyond them.
fn days(from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
    let first = Some(Window::D1.start(from)).filter(|_| from < to);
    std::iter::successors(first, |day| Some(next_day(*day))).take_while(move |day| *day < to)
}

fn next_day(day: Timestamp) -> Timestamp {
    day.saturating_add_seconds(DAY_SECONDS)
}

/// One organization's day.
struct Recomputed<'a> {
    windows: &'a [Window],
    organization_id: Uuid,
    from: Timestamp,
    to: Timestamp,
}

impl Recomputed<'_> {
    /// Notes in `step` what was found.
    async fn run(
        &self,
        pool: &PgPool,
        dry_run: bool,
        step: &mut Step,
        watch: &mut impl Watch,
    ) -> Result<(), StoreError> {
        if self.is_expired(pool).await? {
            return Ok(());
        }
        let mut snapshot = pool
            .begin_with("begin isolation level repeatable read read only")
            .await?;
        let (found, _) = self.look(&mut snapshot).await?;
        snapshot.rollback().await?;
        if found.difference().is_none() {
            step.compared = Some(found);
            return Ok(());
        }
        if dry_run {
            // A chunk that is dropped is missing from older snapshots, too.
            step.compared = (!self.is_expired(pool).await?).then_some(found);
            return Ok(());
        }
        // Looked at again, under the lock: the sink may have gone on meanwhile.
        let mut transaction = pool
            .begin_with("begin isolation level read committed")
            .await?;
        rollups::lock(&mut transaction, [self.organization_id].into_iter()).await?;
        let (found, changes) = self.look(&mut transaction).await?;
        // Asked last: now it is sure that every raw row was there to be looked at.
        if self.is_expired(&mut *transaction).await? {
            return Ok(());
        }
        let differs = !found.difference().is_none();
        step.compared = Some(found);
        if differs {
            changes.write(&mut transaction).await?;
            watch.healing(&mut transaction, step).await?;
            changes::raise(&mut transaction, [self.organization_id]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Whether rows of the day have been removed.
    async fn is_expired(&self, database: impl PgExecutor<'_>) -> Result<bool, StoreError> {
        let since = boundaries::since(database, &[self.organization_id]).await?;
        Ok(since.values().any(|since| self.from < *since))
    }

    async fn look(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(Compared, compare::Changes), StoreError> {
        // A day of a large organization takes as long as it takes.
        for limit in ["statement_timeout", "idle_in_transaction_session_timeout"] {
            sqlx::query(AssertSqlSafe(format!("set local {limit} = 0")))
                .execute(&mut *connection)
                .await?;
        }
        let (events, sums) =
            raw::sums(&mut *connection, self.organization_id, self.from, self.to).await?;
        // Nobody has those any more, and yet they happened.
        let erased =
            residual::sums(&mut *connection, self.organization_id, self.from, self.to).await?;
        let mut changes = compare::Changes::of(self.organization_id);
        let mut compared = Compared {
            events,
            ..Compared::default()
        };
        let tables = residual::add(self.windows, expand(self.windows, sums), erased);
        let users = by_user(&tables);
        for (window, rows) in tables {
            let stored = compare::stored(
                &mut *connection,
                window,
                self.organization_id,
                self.from,
                self.to,
            )
            .await?;
            let difference = changes.compare(window, rows, stored);
            compared.windows.insert(window, difference);
        }
        if let Some(days) = compared.windows.get_mut(&Window::D1) {
            *days += changes
                .compare_users(&mut *connection, self.from, self.to, users)
                .await?;
        }
        Ok((compared, changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_the_days_it_touches() {
        let of = |from, to| {
            days(at(from), at(to))
                .map(|day| day.to_string())
                .collect::<Vec<_>>()
        };
        let (first, second) = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
        assert_eq!(
            of("2026-03-01T23:00:00Z", "2026-03-02T00:00:01Z"),
            [first, second]
        );
        assert_eq!(of(first, second), [first]);
        assert_eq!(of(first, first), Vec::<String>::new());
        assert_eq!(of(second, first), Vec::<String>::new());
    }
}
