//! When a user did something.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::{EventKind, Window};
use sqlx::{AssertSqlSafe, PgPool};

use super::{Erase, Rows};
use crate::store::StoreError;

/// The day after.
pub(super) fn next(day: DateTime<Utc>) -> DateTime<Utc> {
    day + TimeDelta::days(1)
}

/// Tables of raw rows, with their column of time.
pub(super) fn raw_tables() -> impl Iterator<Item = (String, &'static str)> {
    EventKind::ALL
        .into_iter()
        .map(|kind| (kind.plural().to_owned(), "\"timestamp\""))
}

/// Tables of rollups, likewise: all of them, whatever windows the sink keeps now.
pub(super) fn rollup_tables() -> impl Iterator<Item = (String, &'static str)> {
    Window::ALL
        .into_iter()
        .map(|window| (format!("rollups_{window}"), "bucket_start"))
        .chain([("rollups_1d_by_user".to_owned(), "bucket_start")])
}

/// The days (UTC) that any table has rows of the user from, oldest first.
pub(super) async fn days(
    pool: &PgPool,
    erase: &Erase,
) -> Result<BTreeSet<DateTime<Utc>>, StoreError> {
    let mut days = BTreeSet::new();
    for (table, time) in raw_tables().chain(rollup_tables()) {
        let sql = format!(
            "select distinct date_trunc('day', {time}, 'UTC') from flowmeter.{table} \
             where organization_id = $1 and user_id = $2"
        );
        let found: Vec<DateTime<Utc>> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(erase.organization_id)
            .bind(erase.user_id)
            .fetch_all(pool)
            .await?;
        days.extend(found);
    }
    Ok(days)
}

/// How many raw rows and rollups the user has.
pub(super) async fn count(pool: &PgPool, erase: &Erase) -> Result<Rows, StoreError> {
    let mut rows = Rows::default();
    for (table, _) in raw_tables() {
        rows.raw += of(pool, erase, &table).await?;
    }
    for (table, _) in rollup_tables() {
        rows.rollups += of(pool, erase, &table).await?;
    }
    Ok(rows)
}

async fn of(pool: &PgPool, erase: &Erase, table: &str) -> Result<u64, StoreError> {
    let sql = format!(
        "select count(*) from flowmeter.{table} where organization_id = $1 and user_id = $2"
    );
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(erase.organization_id)
        .bind(erase.user_id)
        .fetch_one(pool)
        .await?;
    Ok(count.unsigned_abs())
}
