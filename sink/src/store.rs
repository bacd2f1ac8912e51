//! The database's side: one transaction per batch.

mod cursors;
mod dead_letters;
mod events;
mod rollups;

use std::{collections::BTreeMap, time::Duration};

use platform::{
    database::{DatabaseError, DatabaseUrl, Role, connect},
    kafka::consumer::TopicPartition,
};
use schemas::Window;
use secrecy::SecretString;
use sqlx::PgPool;

pub(crate) use self::dead_letters::{DeadLetterRow, ReplayedRow};
use crate::{
    batch::Batch,
    cursors::{CursorMove, Fenced},
    expand::RollupRow,
};

/// Most rows of one statement: large enough that round trips do not matter, small enough
/// that neither side holds many megabytes of parameters.
const ROWS_PER_STATEMENT: usize = 5000;
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

    /// Writes a batch's rows and moves its cursors, or does nothing.
    pub(crate) async fn write(
        &self,
        batch: &Batch,
        tables: &[(Window, Vec<RollupRow>)],
        moves: &[CursorMove],
    ) -> Result<Written, StoreError> {
        bounded(self.write_unbounded(batch, tables, moves)).await?
    }

    async fn write_unbounded(
        &self,
        batch: &Batch,
        tables: &[(Window, Vec<RollupRow>)],
        moves: &[CursorMove],
    ) -> Result<Written, StoreError> {
        // The merge of rollups reads what others wrote before it got its locks.
        let mut transaction = self
            .pool
            .begin_with("begin isolation level read committed")
            .await?;
        cursors::advance(&mut transaction, &self.consumer, moves).await?;
        let mut written = events::insert(&mut transaction, &batch.events).await?;
        // A marker follows its letter in one partition, so the letter is in the table by now.
        dead_letters::insert(&mut transaction, &batch.dead_letters).await?;
        dead_letters::mark_replayed(&mut transaction, &batch.replayed).await?;
        written.insert("dead_letters".to_owned(), batch.dead_letters.len());
        rollups::merge(&mut transaction, tables).await?;
        for (window, rows) in tables {
            written.insert(format!("rollups_{window}"), rows.len());
        }
        transaction.commit().await?;
        written.retain(|_, rows| *rows > 0);
        Ok(written)
    }
}

async fn bounded<T>(future: impl Future<Output = T>) -> Result<T, StoreError> {
    tokio::time::timeout(LONGEST, future)
        .await
        .map_err(|_| StoreError::TooLong)
}
