//! The database's side: one transaction per batch.

pub(crate) mod by_user;
mod copy;
mod cursors;
mod dead_letters;
mod events;
mod kept;
mod refused;
pub(crate) mod rollups;
mod trouble;
mod watermarks;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use platform::{
    database::{
        ACQUIRE_TIMEOUT, DatabaseError, DatabaseUrl, Role,
        changes::{self, INSTALLATION, Raised},
        connect,
    },
    kafka::{
        consumer::TopicPartition, refusals::Refusals, registry::LookupError,
        transactions::TransactionError,
    },
};
use schemas::{Source, Window};
use secrecy::SecretString;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

pub(crate) use self::{
    dead_letters::{DeadLetterRow, ReplayedRow},
    events::EventRows,
    kept::Kept,
    refused::RefusedEvent,
    trouble::Trouble,
};
use crate::{
    batch::{Batch, RawEvent},
    cursors::{CursorMove, Fenced},
    expand::RollupRow,
};

/// Most rows of one statement: large enough that round trips do not matter, small enough
/// that neither side holds many megabytes of parameters.
const ROWS_PER_STATEMENT: usize = 2000;
/// Of one transaction. Shorter than the consumer's longest silence, so that the group does
/// not give this member up first.
const LONGEST: Duration = Duration::from_secs(45);

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Connect(#[from] DatabaseError),
    #[error(transparent)]
    Fenced(#[from] Fenced),
    #[error("database: a transaction did not end within {LONGEST:?}")]
    TooLong,
    #[error("a row of {table} holds what no rollup can: {what}")]
    Corrupt { table: String, what: &'static str },
    #[error("the database refuses a row: {0}")]
    Refused(#[source] sqlx::Error),
    #[error("the database refused {refused} of the last {of} rows, and one more: {error}")]
    TooManyRefused {
        refused: usize,
        of: usize,
        error: sqlx::Error,
    },
    #[error("dead letters of refused rows: {0}")]
    Letters(#[from] TransactionError),
    #[error("events whose rows were refused: {0}")]
    Registry(#[from] LookupError),
    #[error("the event of {place}, which was read before, cannot be read again: {message}")]
    Unreadable { place: Source, message: String },
    #[error("the process ends")]
    Ending,
}

impl StoreError {
    /// What has to pass before the same can succeed; `None` if it never will.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Sql(error) | Self::Connect(DatabaseError::Sql(error)) => Some(Trouble::of(error)),
            Self::TooManyRefused { .. } => Some(Trouble::TooManyRefused),
            Self::Letters(_) => Some(Trouble::Letters),
            _ => None,
        }
    }
}

/// How many rows of which table.
pub(crate) type Written = BTreeMap<String, usize>;

/// The tables, as the sink's role.
#[derive(Clone)]
pub(crate) struct Store {
    pool: PgPool,
    /// Whose cursors.
    consumer: String,
}

impl Store {
    /// Connects.
    pub(crate) async fn open(
        url: &DatabaseUrl,
        password: Option<&SecretString>,
        consumer: String,
    ) -> Result<Self, StoreError> {
        let pool = connect(url, 2, "flowmeter-sink", Role::Sink, password).await?;
        Ok(Self { pool, consumer })
    }

    /// Over connections that are there.
    pub(crate) fn of(pool: PgPool, consumer: String) -> Self {
        Self { pool, consumer }
    }

    /// Closes the connections, if they let themselves be closed.
    pub(crate) async fn close(self) {
        let bound = Duration::from_secs(2);
        if tokio::time::timeout(bound, self.pool.close())
            .await
            .is_err()
        {
            tracing::warn!("connections to the database were left behind");
        }
    }

    /// Where reading is to go on; partitions without a cursor are absent.
    pub(crate) async fn cursors(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, StoreError> {
        let read = async {
            let mut connection = self.pool.acquire().await?;
            cursors::read(&mut connection, &self.consumer, partitions).await
        };
        Ok(bounded(read).await??)
    }

    /// Writes a batch's rows and moves its cursors, or does nothing. `kept` is what this store
    /// wrote last.
    pub(crate) async fn write(
        &self,
        batch: &Batch,
        tables: &[(Window, Vec<RollupRow>)],
        moves: &[CursorMove],
        kept: &mut Kept,
    ) -> Result<Written, StoreError> {
        let write = async {
            let mut organizations = rollups::organizations(tables);
            organizations.extend(&batch.organizations);
            let mut transaction = self.begin(moves).await?;
            let (mut written, sums) =
                insert_events(&mut transaction, &batch.rows, tables, &organizations, kept).await?;
            insert_others(&mut transaction, batch, &mut written).await?;
            let raised = tell(&mut transaction, batch, organizations).await?;
            transaction.commit().await?;
            kept.keep(tables, sums, &raised);
            Ok(written)
        };
        let written = bounded(write).await.flatten();
        if written.is_err() {
            // What was taken of it is in no table, or in one of a commit that nobody heard of.
            kept.clear();
        }
        self.explained(written).await
    }

    /// The same without those of the batch's `events` that the database refuses, which `bury`
    /// is given before anything is committed. It may be given them again when this fails and is
    /// repeated.
    pub(crate) async fn write_sound(
        &self,
        batch: &Batch,
        events: &[RawEvent],
        windows: &[Window],
        moves: &[CursorMove],
        refusals: &mut Refusals,
        bury: impl FnOnce(&[RefusedEvent<'_>]) -> Result<(), TransactionError>,
    ) -> Result<Written, StoreError> {
        let write = async {
            let mut transaction = self.begin(moves).await?;
            // Locks of an attempt are given back with it, and the next would take others.
            let organizations = &batch.organizations;
            rollups::lock(&mut transaction, organizations.iter().copied()).await?;
            let (mut written, refused) =
                refused::insert_sound(&mut transaction, events, windows, refusals).await?;
            insert_others(&mut transaction, batch, &mut written).await?;
            bury(&refused)?;
            tell(&mut transaction, batch, organizations.iter().copied()).await?;
            transaction.commit().await?;
            Ok(written)
        };
        self.explained(bounded(write).await.flatten()).await
    }

    /// Begins a transaction that moves the cursors.
    async fn begin(
        &self,
        moves: &[CursorMove],
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        // The merge of rollups reads what others wrote before it got its locks.
        let mut transaction = self
            .pool
            .begin_with("begin isolation level read committed")
            .await?;
        cursors::advance(&mut transaction, &self.consumer, moves).await?;
        Ok(transaction)
    }

    /// A pool that gets no connection in time does not say why; a connection does.
    async fn explained<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if !matches!(result, Err(StoreError::Sql(sqlx::Error::PoolTimedOut))) {
            return result;
        }
        let options = self.pool.connect_options();
        let asked = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options));
        match asked.await {
            Ok(Err(why)) => Err(why.into()),
            _ => result,
        }
    }
}

/// Inserts events and merges what they add to rollups; gives what those are now.
async fn insert_events(
    connection: &mut PgConnection,
    rows: &EventRows,
    tables: &[(Window, Vec<RollupRow>)],
    organizations: &BTreeSet<Uuid>,
    kept: &mut Kept,
) -> Result<(Written, kept::Sums), StoreError> {
    let insert = async {
        let mut written = rows.insert(&mut *connection).await?;
        let sums = rollups::merge(&mut *connection, tables, organizations, kept).await?;
        for (window, rows) in tables {
            written.insert(format!("rollups_{window}"), rows.len());
        }
        let users = crate::by_user::by_user(tables);
        by_user::add(&mut *connection, &users).await?;
        written.insert(by_user::TABLE.to_owned(), users.len());
        Ok((written, sums))
    };
    insert.await.map_err(|error| match error {
        StoreError::Sql(error) if trouble::is_of_row(&error) => StoreError::Refused(error),
        error => error,
    })
}

/// A column of rows, as `unnest` takes it.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// Writes what a batch holds besides events.
async fn insert_others(
    connection: &mut PgConnection,
    batch: &Batch,
    written: &mut Written,
) -> Result<(), StoreError> {
    // A marker follows its letter in one partition, so the letter is in the table by now, or
    // comes with it; and a letter that repeats one which is replayed is a new one.
    dead_letters::mark_replayed(&mut *connection, &batch.replayed).await?;
    dead_letters::insert(&mut *connection, &batch.dead_letters).await?;
    dead_letters::mark_replayed(&mut *connection, &batch.replayed).await?;
    watermarks::advance(connection, &batch.watermarks).await?;
    written.insert("dead_letters".to_owned(), batch.dead_letters.len());
    written.retain(|_, rows| *rows > 0);
    Ok(())
}

/// Tells whose rows are others now.
async fn tell(
    connection: &mut PgConnection,
    batch: &Batch,
    organizations: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<Raised>, StoreError> {
    let installation = (!batch.watermarks.is_empty()).then_some(INSTALLATION);
    let organizations = organizations.into_iter().chain(installation);
    Ok(changes::raise(connection, organizations).await?)
}

async fn bounded<T>(future: impl Future<Output = T>) -> Result<T, StoreError> {
    tokio::time::timeout(LONGEST, future)
        .await
        .map_err(|_| StoreError::TooLong)
}
