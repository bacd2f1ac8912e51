//! Recomputing rollups from the raw rows, while everything runs; and raw rows from the log.
//!
//! In every committed state of the database rollups equal raw rows, because the sink writes
//! both in one transaction. So one snapshot tells whether they do, and nothing on its way has
//! to be waited for. What differs is computed anew under the lock that the sink merges an
//! organization's rollups under, and written.

mod compare;
pub(crate) mod raw;
mod restore;

use platform::{
    database::{DatabaseUrl, Role, connect},
    kafka::{log_reader::LogReaderError, registry::LookupError},
};
use schemas::{Timestamp, Window};
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

pub use self::compare::Difference;
use crate::{
    SinkConfig,
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
    /// How many events it has.
    pub events: u64,
    /// What differed.
    pub difference: Difference,
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
    mut progress: impl FnMut(Progress) -> bool,
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
    let days: Vec<Timestamp> = days(request.from, request.to).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return Ok(());
    };
    let organizations = match request.organization {
        Some(organization) => vec![organization],
        None => raw::organizations(&pool, *first, next_day(*last)).await?,
    };
    let (of, mut done) = (organizations.len() * days.len(), 0);
    for day in days {
        for organization_id in &organizations {
            let recomputed = Recomputed {
                windows: &config.windows,
                organization_id: *organization_id,
                from: day,
                to: next_day(day),
            };
            let (events, difference) = recomputed.run(&pool, request.dry_run).await?;
            done += 1;
            let step = Step {
                done,
                of,
                organization_id: *organization_id,
                day,
                events,
                difference,
            };
            if !progress(Progress::Compared(step)) {
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
    async fn run(&self, pool: &PgPool, dry_run: bool) -> Result<(u64, Difference), StoreError> {
        let mut snapshot = pool
            .begin_with("begin isolation level repeatable read read only")
            .await?;
        let (events, found, _) = self.look(&mut snapshot).await?;
        snapshot.rollback().await?;
        if found.is_none() || dry_run {
            return Ok((events, found));
        }
        // Looked at again, under the lock: the sink may have gone on meanwhile.
        let mut transaction = pool
            .begin_with("begin isolation level read committed")
            .await?;
        rollups::lock(&mut transaction, [self.organization_id].into_iter()).await?;
        let (events, found, changes) = self.look(&mut transaction).await?;
        changes.write(&mut transaction).await?;
        transaction.commit().await?;
        Ok((events, found))
    }

    async fn look(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(u64, Difference, compare::Changes), StoreError> {
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
        let mut difference = Difference::default();
        let tables = residual::add(self.windows, expand(self.windows, sums), erased);
        for (window, rows) in tables {
            let stored = compare::stored(
                &mut *connection,
                window,
                self.organization_id,
                self.from,
                self.to,
            )
            .await?;
            difference += changes.compare(window, rows, stored);
        }
        Ok((events, difference, changes))
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
