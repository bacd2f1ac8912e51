//! The rollups that a query asks for, out of the database in the order of its rows.

use std::{iter, mem, ops::ControlFlow};

use chrono::{DateTime, Utc};
use platform::database::{
    TenantTx,
    rollup_columns::{RollupColumns, SELECTED},
};
use schemas::{Timestamp, rollup::SeriesKind};
use sqlx::{AssertSqlSafe, FromRow, Postgres, QueryBuilder, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    buckets::Buckets,
    fold::{Part, StoredRollup},
    group::{Column, GroupBy, Key, scope_for},
    query::Query,
};
use crate::{failure::QueryFailure, instant::instant};

/// Rollups fetched at once. Memory holds this many whatever the query.
const BATCH: usize = 2000;

/// Hands over the rollups from the query's first row on, by bucket and group,
/// until there are no more or `each` breaks off.
///
/// In slices of time, because the database sorts all of what a statement asks
/// for before its first row, which of a long range would be far more than a page.
pub(super) async fn read(
    transaction: &mut TenantTx,
    query: &Query,
    mut each: impl FnMut(StoredRollup) -> ControlFlow<()>,
) -> Result<(), QueryFailure> {
    for (from, to) in slices(query) {
        let sql = statement(query, (from, to), Order::OfRows);
        if fetch(transaction, query, sql, &mut each).await?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Hands over the rollups of all buckets that start at `from` or later and before `to`, both
/// starts of buckets, in any order.
pub(super) async fn read_all(
    transaction: &mut TenantTx,
    query: &Query,
    range: Slice,
    mut each: impl FnMut(StoredRollup),
) -> Result<(), QueryFailure> {
    let sql = statement(query, range, Order::Any);
    let mut each = |stored| {
        each(stored);
        ControlFlow::Continue(())
    };
    // It never breaks off.
    let _ = fetch(transaction, query, sql, &mut each).await?;
    Ok(())
}

/// Buckets that start at or after the first instant and before the second.
pub(super) type Slice = (Timestamp, Timestamp);

/// The rest of the range, in order. The first slice has enough buckets for a
/// page of one row each; they grow, so that an empty range takes few of them.
fn slices(query: &Query) -> impl Iterator<Item = Slice> {
    let mut from = match &query.after {
        Some((bucket_start, _)) => query.first.max(*bucket_start),
        None => query.first,
    };
    let page = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut buckets = page.saturating_add(1);
    iter::from_fn(move || {
        if from >= query.until {
            return None;
        }
        let to = query.buckets.shifted(from, buckets).min(query.until);
        buckets = buckets.saturating_mul(4);
        Some((mem::replace(&mut from, to), to))
    })
}

/// Through a cursor of the server: a plain query that is broken off must still
/// be read to its end before its connection is of use again.
async fn fetch(
    transaction: &mut TenantTx,
    query: &Query,
    mut sql: QueryBuilder<Postgres>,
    each: &mut impl FnMut(StoredRollup) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, QueryFailure> {
    let connection = transaction.connection();
    sql.build()
        // A plan for these very values, with no chunk in it that they leave out.
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    let fetch = format!("fetch forward {BATCH} from rollups_read");
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue() {
        let batch = sqlx::query(AssertSqlSafe(fetch.as_str()))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        for row in &batch {
            flow = each(stored(row, query.group_by)?);
            if flow.is_break() {
                break;
            }
        }
        if batch.len() < BATCH {
            break;
        }
    }
    sqlx::query("close rollups_read")
        .execute(&mut *connection)
        .await?;
    Ok(flow)
}

/// In which order rollups come, and so whether those of earlier pages are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// By bucket and group, after the query's last page.
    OfRows,
    /// As the database has them.
    Any,
}

fn statement(query: &Query, slice: Slice, order: Order) -> QueryBuilder<Postgres> {
    let group = query.group_by.column();
    let (key_id, key_name) = match group {
        Column::None => ("null::uuid", "null::text"),
        Column::Id(column) => (column, "null::text"),
        Column::Name(column) => ("null::uuid", column),
    };
    let mut sql = QueryBuilder::new("declare rollups_read no scroll cursor for select ");
    push_bucket(&mut sql, query, slice);
    sql.push(format!(
        " as bucket, {key_id} as key_id, {key_name} as key_name, kind, name, {SELECTED} \
         from tenant.rollups_{window} where scope = ",
        window = query.buckets.source()
    ));
    sql.push_bind(scope_for(&query.filter, query.group_by).as_str());
    // Bare comparisons of bucket_start with values: only by them are chunks left out.
    let (from, to) = slice;
    sql.push(" and bucket_start >= ").push_bind(instant(from));
    sql.push(" and bucket_start < ").push_bind(instant(to));
    push_filter(&mut sql, query);
    if order == Order::OfRows {
        if let Some((bucket_start, key)) = &query.after {
            push_after(&mut sql, query, *bucket_start, key);
        }
        sql.push(match group {
            Column::None => " order by bucket",
            Column::Id(_) => " order by bucket, key_id nulls last",
            Column::Name(_) => " order by bucket, key_name nulls last",
        });
    }
    sql
}

/// The start of a rollup's bucket.
fn push_bucket(sql: &mut QueryBuilder<Postgres>, query: &Query, (from, to): Slice) {
    match &query.buckets {
        Buckets::Even(_) => {
            sql.push("bucket_start");
        }
        Buckets::Days(days) => {
            // Looked up in the list of days, so that they are not counted by the rules of
            // the database's time zones, which may be of another year.
            let starts: Vec<_> = days
                .between(from, to)
                .iter()
                .copied()
                .map(instant)
                .collect();
            sql.push("(").push_bind(starts.clone());
            sql.push(")[width_bucket(bucket_start, ").push_bind(starts);
            sql.push(")]");
        }
    }
}

/// Of the first bucket the groups that were not answered yet.
fn push_after(sql: &mut QueryBuilder<Postgres>, query: &Query, bucket_start: Timestamp, key: &Key) {
    sql.push(" and (bucket_start >= ")
        .push_bind(instant(query.buckets.end(bucket_start)));
    match (query.group_by.column(), key) {
        (Column::Id(column), Key::Id(Some(id))) => {
            sql.push(format!(" or {column} is null or {column} > "))
                .push_bind(*id);
        }
        (Column::Name(column), Key::Name(Some(name))) => {
            sql.push(format!(" or {column} is null or {column} > "))
                .push_bind(name.clone());
        }
        // A bucket's only or last group: nothing of this bucket is left.
        _ => {}
    }
    sql.push(")");
}

fn push_filter(sql: &mut QueryBuilder<Postgres>, query: &Query) {
    if let Some(kind) = query.group_by.kind() {
        sql.push(" and kind = ").push_bind(kind.as_str());
    }
    let filter = &query.filter;
    for (column, ids) in [
        ("user_id", &filter.user_ids),
        ("team_id", &filter.team_ids),
        ("project_id", &filter.project_ids),
    ] {
        if let Some(ids) = ids {
            sql.push(format!(" and {column} = any("))
                .push_bind(ids.clone())
                .push(")");
        }
    }
    for (kind, column, names) in [
        (SeriesKind::Command, "name", &filter.command_names),
        (SeriesKind::Agent, "name", &filter.agent_names),
        (SeriesKind::Agent, "model", &filter.models),
        (SeriesKind::Metric, "name", &filter.metric_types),
    ] {
        if let Some(names) = names {
            sql.push(format!(
                " and (kind <> '{}' or {column} = any(",
                kind.as_str()
            ))
            .push_bind(names.clone())
            .push("))");
        }
    }
}

fn stored(row: &PgRow, group_by: GroupBy) -> Result<StoredRollup, QueryFailure> {
    let bucket_start: DateTime<Utc> = row.try_get("bucket")?;
    let key = match group_by.column() {
        Column::None => Key::All,
        Column::Id(_) => Key::Id(row.try_get::<Option<Uuid>, _>("key_id")?),
        Column::Name(_) => Key::Name(row.try_get("key_name")?),
    };
    let part = Part::of(row.try_get("kind")?, row.try_get("name")?);
    Ok(StoredRollup {
        bucket_start: Timestamp::try_from(bucket_start)
            .map_err(|_| QueryFailure::Malformed("bucket_start"))?,
        key,
        part: part.ok_or(QueryFailure::Malformed("kind"))?,
        rollup: RollupColumns::from_row(row)?
            .rollup()
            .map_err(QueryFailure::Malformed)?,
    })
}

#[cfg(test)]
mod tests {
    use schemas::Window;

    use super::*;

    #[test]
    fn slices_cover_the_range_once_and_grow() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let parse = |start: &str, limit: &str| {
            let end = "9999-12-31T23:59:59.999999Z";
            let pairs = [
                pair("start_date", start),
                pair("end_date", end),
                pair("limit", limit),
                pair("aggregation_window", "1h"),
            ];
            Query::parse(&pairs, &Window::ALL, Timestamp::MAX).unwrap()
        };
        let all: Vec<Slice> = slices(&parse("0001-01-01T00:30:00Z", "1")).collect();
        assert_eq!(all[0].0, Timestamp::MIN);
        assert_eq!(all[0].1.to_string(), "0001-01-01T02:00:00Z");
        assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!(all[all.len() - 1].1, Timestamp::MAX);
        assert!(all.len() < 20, "{}", all.len());
        // After a row, on with its bucket.
        let mut query = parse("0001-01-01T00:30:00Z", "10000");
        let bucket: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        query.after = Some((bucket, Key::All));
        assert_eq!(slices(&query).next().map(|slice| slice.0), Some(bucket));
    }
}
