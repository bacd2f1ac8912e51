//! Erasing a user, while everything runs.
//!
//! A day at a time, in a transaction of its own and under the lock that the sink merges the
//! organization's rollups under: raw rows and rollups are equal before and after, and what was
//! done stays done if it is interrupted. docs/decisions/0017 says what stays and why.

mod anonymize;
mod days;
mod letters;
mod remove;
pub(crate) mod residual;

use chrono::{DateTime, Utc};
use platform::{
    config::DatabaseConfig,
    database::{DatabaseUrl, Role, changes, connect},
};
use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::store::{StoreError, rollups};

/// What becomes of the user's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They stay, of nobody: with a random user and random ids, and without free text.
    Anonymize,
    /// They go. What they had added to the rollups of teams and of the organization stays.
    Remove,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Anonymize => "anonymize",
            Self::Remove => "remove",
        }
    }
}

/// Whom to erase, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erase {
    /// Whose user.
    pub organization_id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// What becomes of the rows.
    pub mode: Mode,
    /// Who asked for it; goes into the table of erasures.
    pub requested_by: String,
}

impl Erase {
    /// The key of the user's records, and what is hashed for the table of erasures.
    fn key(&self) -> String {
        format!("{}:{}", self.organization_id, self.user_id)
    }
}

/// How many rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Of the four kinds of events.
    pub raw: u64,
    /// Of scope user, of all windows.
    pub rollups: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// A day is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How many days are done.
    pub done: usize,
    /// Of how many.
    pub of: usize,
    /// Erased so far.
    pub rows: Rows,
}

/// Why it ended early. What was done until then stays done; run it again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EraseError(Box<dyn std::error::Error + Send + Sync>);

impl From<StoreError> for EraseError {
    fn from(error: StoreError) -> Self {
        Self(Box::new(error))
    }
}

/// How much there is to erase; changes nothing.
///
/// # Errors
/// The database's.
pub async fn find(database: &DatabaseConfig, erase: &Erase) -> Result<Rows, EraseError> {
    let pool = open(database).await?;
    let found = days::count(&pool, erase).await?;
    let dead_letters = letters::count(&pool, erase).await?;
    Ok(Rows {
        dead_letters,
        ..found
    })
}

/// Erases, and tells each step to `progress`, which may end it by saying `false`; then what was
/// done until then is given, and whether that was all.
///
/// # Errors
/// See [`EraseError`].
pub async fn erase(
    database: &DatabaseConfig,
    erase: &Erase,
    mut progress: impl FnMut(Step) -> bool,
) -> Result<(Rows, bool), EraseError> {
    let pool = open(database).await?;
    let id = begin(&pool, erase).await?;
    let days = days::days(&pool, erase).await?;
    // Nobody else ever knows it. After an interruption the rest gets another one.
    let stranger = Uuid::new_v4();
    let mut rows = Rows::default();
    for (index, day) in days.iter().enumerate() {
        let erased = day_of(&pool, erase, id, stranger, *day).await?;
        rows.raw += erased.raw;
        rows.rollups += erased.rollups;
        let step = Step {
            done: index + 1,
            of: days.len(),
            rows,
        };
        if !progress(step) {
            return Ok((rows, false));
        }
    }
    rows.dead_letters = finish(&pool, erase, id).await?;
    Ok((rows, true))
}

async fn open(database: &DatabaseConfig) -> Result<PgPool, StoreError> {
    let url = DatabaseUrl::parse(database.url.expose_secret())?;
    let password = database.sink_password.as_ref();
    Ok(connect(&url, 2, "flowmeter-erase", Role::Sink, password).await?)
}

/// Takes note of it first: from now on nothing older of the user is restored from Kafka.
async fn begin(pool: &PgPool, erase: &Erase) -> Result<Uuid, StoreError> {
    let id = Uuid::new_v4();
    sqlx::query(
        "insert into flowmeter.erasures (erasure_id, organization_id, user_hash, mode, requested_by) \
         values ($1, $2, sha256(convert_to($3, 'UTF8')), $4, $5)",
    )
    .bind(id)
    .bind(erase.organization_id)
    .bind(erase.key())
    .bind(erase.mode.as_str())
    .bind(&erase.requested_by)
    .execute(pool)
    .await?;
    Ok(id)
}

async fn day_of(
    pool: &PgPool,
    erase: &Erase,
    id: Uuid,
    stranger: Uuid,
    day: DateTime<Utc>,
) -> Result<Rows, StoreError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection
        .begin_with("begin isolation level read committed")
        .await?;
    unlimited(&mut transaction).await?;
    rollups::lock(&mut transaction, [erase.organization_id].into_iter()).await?;
    let erased = match erase.mode {
        Mode::Anonymize => anonymize::day(&mut transaction, erase, stranger, day).await?,
        Mode::Remove => remove::day(&mut transaction, erase, day).await?,
    };
    note(&mut transaction, id, erased).await?;
    changes::raise(&mut transaction, [erase.organization_id]).await?;
    transaction.commit().await?;
    Ok(erased)
}

async fn finish(pool: &PgPool, erase: &Erase, id: Uuid) -> Result<u64, StoreError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    unlimited(&mut transaction).await?;
    let dead_letters = letters::delete(&mut transaction, erase).await?;
    let rows = Rows {
        dead_letters,
        ..Rows::default()
    };
    note(&mut transaction, id, rows).await?;
    sqlx::query("update flowmeter.erasures set finished_at = now() where erasure_id = $1")
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(dead_letters)
}

/// Adds to the erasure's numbers, in the transaction that makes them true.
async fn note(connection: &mut PgConnection, id: Uuid, rows: Rows) -> Result<(), StoreError> {
    let signed = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    sqlx::query(
        "update flowmeter.erasures set raw_rows = raw_rows + $2, rollups = rollups + $3, \
         dead_letters = dead_letters + $4 where erasure_id = $1",
    )
    .bind(id)
    .bind(signed(rows.raw))
    .bind(signed(rows.rollups))
    .bind(signed(rows.dead_letters))
    .execute(connection)
    .await?;
    Ok(())
}

/// A busy day takes as long as it takes.
async fn unlimited(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("set local statement_timeout = 0")
        .execute(connection)
        .await?;
    Ok(())
}
