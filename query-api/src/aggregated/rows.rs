//! The rollups that a query asks for, out of the database in the order of its rows.

use std::{iter, mem, ops::ControlFlow};

use futures_util::TryStreamExt;
use platform::database::{
    TenantTx,
    cell::Cell,
    rollup_row::{self, MEASURES},
};
use schemas::{Rollup, Timestamp, rollup::SeriesKind};
use sqlx::{Postgres, QueryBuilder, Row, postgres::PgRow};

use super::{
    buckets::Buckets,
    fold::{Page, Part, StoredRollup},
    group::{Column, Key, scope_for},
    query::Query,
};
use crate::{failure::QueryFailure, instant::instant};

/// The least rollups that a statement may give before it ends. In tests few, so that pages are
/// put together from several.
const LEAST_ROWS: usize = if cfg!(test) { 16 } else { 2000 };

/// Fills a page with the query's rows, from its first on.
///
/// In slices of time, because the database sorts all of what a statement asks
/// for before its first row, which of a long range would be far more than a page.
/// Nor is more asked for at first than twice as many rollups as the page has rows: what
/// a statement gives must be read to its end, though the page may be full long before.
pub(super) async fn read(
    transaction: &mut TenantTx,
    query: &Query,
    page: &mut Page,
) -> Result<(), QueryFailure> {
    let mut most = query.limit.saturating_mul(2).max(LEAST_ROWS);
    for (from, to) in slices(query) {
        let mut after = query.after.clone();
        loop {
            // Of the bucket that was reached, the groups that are left.
            let from = after.as_ref().map_or(from, |(bucket, _)| from.max(*bucket));
            let mut sql = select(query, (from, to));
            push_order(&mut sql, query, after.as_ref(), most);
            let mut flow = ControlFlow::Continue(());
            let read = fetch(transaction, query, sql, |stored| {
                if flow.is_continue() {
                    flow = page.push(stored);
                }
            })
            .await?;
            if flow.is_break() {
                return Ok(());
            }
            if read < most {
                break;
            }
            after = page.reopen().or(after);
            most = most.saturating_mul(4);
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
    each: impl FnMut(&StoredRollup),
) -> Result<(), QueryFailure> {
    fetch(transaction, query, select(query, range), each).await?;
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

/// Hands over what a statement gives, one at a time, and says how many that were.
///
/// The statement is kept prepared, and planned for the values of each time (`plan_cache_mode`
/// of the API's connections).
async fn fetch(
    transaction: &mut TenantTx,
    query: &Query,
    mut sql: QueryBuilder<Postgres>,
    mut each: impl FnMut(&StoredRollup),
) -> Result<usize, QueryFailure> {
    let mut rows = sql.build().fetch(transaction.connection());
    let mut stored = nothing(query);
    let mut read = 0;
    while let Some(row) = rows.try_next().await? {
        refill(&mut stored, &row)?;
        each(&stored);
        read += 1;
    }
    Ok(read)
}

/// The `select` of all rollups of a slice.
fn select(query: &Query, (from, to): Slice) -> QueryBuilder<Postgres> {
    let key = match query.group_by.column() {
        Column::None => "null::text",
        Column::Id(column) | Column::Name(column) => column,
    };
    let mut sql = QueryBuilder::new("select ");
    push_bucket(&mut sql, query, (from, to));
    sql.push(format!(
        " as bucket, {key} as key, kind, name, {MEASURES} \
         from tenant.rollups_{window} where scope = ",
        window = query.buckets.source()
    ));
    sql.push_bind(scope_for(&query.filter, query.group_by).as_str());
    // Bare comparisons of bucket_start with values: only by them are chunks left out.
    sql.push(" and bucket_start >= ").push_bind(instant(from));
    sql.push(" and bucket_start < ").push_bind(instant(to));
    push_filter(&mut sql, query);
    sql
}

/// In the order of rows, what comes after one, but no more than so many.
fn push_order(
    sql: &mut QueryBuilder<Postgres>,
    query: &Query,
    after: Option<&(Timestamp, Key)>,
    most: usize,
) {
    if let Some((bucket_start, key)) = after {
        push_after(sql, query, *bucket_start, key);
    }
    sql.push(match query.group_by.column() {
        Column::None => " order by bucket",
        Column::Id(_) | Column::Name(_) => " order by bucket, key nulls last",
    });
    sql.push(" limit ")
        .push_bind(i64::try_from(most).unwrap_or(i64::MAX));
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

/// Of no row yet.
fn nothing(query: &Query) -> StoredRollup {
    StoredRollup {
        bucket_start: query.first,
        key: match query.group_by.column() {
            Column::None => Key::All,
            Column::Id(_) => Key::Id(None),
            Column::Name(_) => Key::Name(None),
        },
        part: Part::Commands,
        rollup: Rollup::default(),
    }
}

/// Reads a row in place of the one before.
fn refill(stored: &mut StoredRollup, row: &PgRow) -> Result<(), QueryFailure> {
    let cell = |place, name| Cell::of(row, place, name);
    stored.bucket_start = cell(0, "bucket_start")?.instant()?;
    match &mut stored.key {
        Key::All => {}
        Key::Id(id) => *id = row.try_get(1)?,
        Key::Name(name) => match cell(1, "key")?.text()? {
            Some(text) => text.clone_into(name.get_or_insert_default()),
            None => *name = None,
        },
    }
    let (kind, name) = (cell(2, "kind")?.text()?, cell(3, "name")?.text()?);
    let part = Part::of(kind.unwrap_or_default(), name.unwrap_or_default());
    stored.part = part.ok_or(QueryFailure::Malformed("kind"))?;
    rollup_row::read(row, 4, &mut stored.rollup)?;
    Ok(())
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
