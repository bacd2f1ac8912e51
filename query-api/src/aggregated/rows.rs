//! The rollups that a query asks for, out of the database in the order of its rows.

use std::{iter, mem, ops::ControlFlow};

use chrono::{DateTime, Utc};
use platform::database::{
    TenantTx,
    rollup_columns::{RollupColumns, SELECTED},
};
use schemas::Timestamp;
use sqlx::{AssertSqlSafe, FromRow, Postgres, QueryBuilder, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    fold::{Part, StoredRollup},
    group::{Column, GroupBy, Key, scope_for},
    params::Query,
};
use crate::failure::QueryFailure;

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
    for slice in slices(query) {
        let flow = read_slice(transaction, query, slice, &mut each).await?;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

/// Buckets that start at or after the first instant and before the second.
type Slice = (Timestamp, Timestamp);

/// The rest of the range, in order. The first slice has enough buckets for a
/// page of one row each; they grow, so that an empty range takes few of them.
fn slices(query: &Query) -> impl Iterator<Item = Slice> {
    let first = query.window.start(query.start);
    let mut from = match &query.after {
        Some((bucket_start, _)) => first.max(*bucket_start),
        None => first,
    };
    let page = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut seconds = query
        .window
        .seconds()
        .saturating_mul(page.saturating_add(1));
    let end = query.end;
    iter::from_fn(move || {
        if from >= end {
            return None;
        }
        let to = from.saturating_add_seconds(seconds).min(end);
        seconds = seconds.saturating_mul(4);
        Some((mem::replace(&mut from, to), to))
    })
}

/// Through a cursor of the server: a plain query that is broken off must still
/// be read to its end before its connection is of use again.
async fn read_slice(
    transaction: &mut TenantTx,
    query: &Query,
    slice: Slice,
    each: &mut impl FnMut(StoredRollup) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, QueryFailure> {
    let connection = transaction.connection();
    statement(query, slice)
        .build()
        // A plan for these very values, with no chunk in it that they leave out.
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    let fetch = format!("fetch forward {BATCH} from rollups_read");
    loop {
        let batch = sqlx::query(AssertSqlSafe(fetch.as_str()))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        for row in &batch {
            if each(stored(row, query.group_by)?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if batch.len() < BATCH {
            break;
        }
    }
    sqlx::query("close rollups_read")
        .execute(&mut *connection)
        .await?;
    Ok(ControlFlow::Continue(()))
}

fn statement(query: &Query, slice: Slice) -> QueryBuilder<Postgres> {
    let group = query.group_by.column();
    let (key_id, key_name) = match group {
        Column::None => ("null::uuid", "null::text"),
        Column::Id(column) => (column, "null::text"),
        Column::Name(column) => ("null::uuid", column),
    };
    let mut sql = QueryBuilder::new(format!(
        "declare rollups_read no scroll cursor for \
         select bucket_start, {key_id} as key_id, {key_name} as key_name, kind, name, {SELECTED} \
         from tenant.rollups_{window} where scope = ",
        window = query.window
    ));
    sql.push_bind(scope_for(&query.filter, query.group_by).as_str());
    push_range(&mut sql, query, group, slice);
    push_filter(&mut sql, query);
    sql.push(" order by bucket_start");
    match group {
        Column::None => {}
        Column::Id(column) => {
            sql.push(format!(", {column} nulls last"));
        }
        Column::Name(column) => {
            sql.push(format!(", {column}"));
        }
    }
    sql
}

/// The buckets, and of the first one the groups that were not answered yet.
fn push_range(sql: &mut QueryBuilder<Postgres>, query: &Query, group: Column, (from, to): Slice) {
    // Bare comparisons of bucket_start with values: only by them are chunks left out.
    sql.push(" and bucket_start >= ").push_bind(instant(from));
    sql.push(" and bucket_start < ").push_bind(instant(to));
    let Some((bucket_start, key)) = &query.after else {
        return;
    };
    sql.push(" and (bucket_start > ")
        .push_bind(instant(*bucket_start));
    match (group, key) {
        (Column::Id(column), Key::Id(Some(id))) => {
            sql.push(format!(" or {column} is null or {column} > "))
                .push_bind(*id);
        }
        (Column::Name(column), Key::Name(name)) => {
            sql.push(format!(" or {column} > ")).push_bind(name.clone());
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
    for (column, id) in [
        ("user_id", filter.user_id),
        ("team_id", filter.team_id),
        ("project_id", filter.project_id),
    ] {
        if let Some(id) = id {
            sql.push(format!(" and {column} = ")).push_bind(id);
        }
    }
    if let Some(types) = &filter.metric_types {
        sql.push(" and (kind <> 'metric' or name = any(")
            .push_bind(types.clone())
            .push("))");
    }
}

fn instant(timestamp: Timestamp) -> DateTime<Utc> {
    timestamp.into()
}

fn stored(row: &PgRow, group_by: GroupBy) -> Result<StoredRollup, QueryFailure> {
    let bucket_start: DateTime<Utc> = row.try_get("bucket_start")?;
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
            ];
            Query::parse(&pairs, Timestamp::MAX).unwrap()
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
