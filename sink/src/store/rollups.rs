//! The tables of rollups, one per window.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use platform::database::rollup_columns::{RollupColumns, SELECTED};
use schemas::{Rollup, Window};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{
    ROWS_PER_STATEMENT, StoreError, column,
    kept::{Kept, Sums},
};
use crate::expand::RollupRow;

/// A row, and what it is now.
type Row<'a> = (&'a RollupRow, &'a Rollup);

/// New rows of a table from which on they are worth a statement of their own, which does not
/// look for each of them again.
const WORTH_A_STATEMENT: usize = 100;
/// Names our advisory locks apart from those of others in the same database.
const LOCK_CLASS: i32 = 0x666c_6f77;
/// Organizations share this many locks: the server's table of locks is limited, and a
/// transaction may touch any number of organizations.
const LOCKS: u128 = 256;

const OR_REPLACE: &str = "\
    on conflict (organization_id, scope, bucket_start, series_id) do update set \
        event_count = excluded.event_count, \
        success_count = excluded.success_count, \
        error_count = excluded.error_count, \
        timeout_count = excluded.timeout_count, \
        cancelled_count = excluded.cancelled_count, \
        execution_time_sum = excluded.execution_time_sum, \
        execution_time_min = excluded.execution_time_min, \
        execution_time_max = excluded.execution_time_max, \
        histogram = excluded.histogram, \
        input_tokens = excluded.input_tokens, \
        output_tokens = excluded.output_tokens, \
        cost_usd = excluded.cost_usd, \
        value_sum = excluded.value_sum, \
        value_min = excluded.value_min, \
        value_max = excluded.value_max, \
        value_count = excluded.value_count, \
        commands_executed = excluded.commands_executed, \
        updated_at = now()";

// Taken in the order of the array, which is sorted: two instances never wait in a ring.
const LOCK: &str = "select pg_advisory_xact_lock($1, k) from unnest($2::integer[]) as k";

/// Adds rows of organizations to those that are there, which are read unless they are `kept`;
/// gives what is there now. No two rows of a table may have the same key.
pub(super) async fn merge(
    connection: &mut PgConnection,
    tables: &[(Window, Vec<RollupRow>)],
    organizations: &BTreeSet<Uuid>,
    kept: &mut Kept,
) -> Result<Sums, StoreError> {
    if organizations.is_empty() {
        return Ok(Sums::new());
    }
    lock(&mut *connection, organizations.iter().copied()).await?;
    kept.forget_changed(&mut *connection, organizations.iter().copied())
        .await?;
    // TimescaleDB's own plan node decides anew for every key which chunks to look into, which
    // takes longer than looking.
    sqlx::query("set local timescaledb.enable_chunk_append = off")
        .execute(&mut *connection)
        .await?;
    let mut all = Sums::with_capacity(tables.len());
    for (window, rows) in tables {
        let mut of_window = Vec::with_capacity(rows.len());
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            let (sums, is_new) = sums(&mut *connection, *window, rows, kept).await?;
            write(&mut *connection, *window, rows, &sums, &is_new).await?;
            of_window.extend(sums);
        }
        all.push(of_window);
    }
    Ok(all)
}

/// Whose rows they are, each organization once.
pub(super) fn organizations(tables: &[(Window, Vec<RollupRow>)]) -> BTreeSet<Uuid> {
    let rows = tables.iter().flat_map(|(_, rows)| rows);
    rows.map(|row| row.organization_id).collect()
}

/// Keeps everybody else from changing the rollups of organizations until the transaction ends.
///
/// Reading, adding and writing is not one step, so nobody else may do it meanwhile. Each
/// statement sees what was committed before it began, hence the locks come first.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    organizations: impl Iterator<Item = Uuid>,
) -> sqlx::Result<()> {
    sqlx::query(LOCK)
        .bind(LOCK_CLASS)
        .bind(lock_keys(organizations))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes rows in place of those that are there.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    window: Window,
    rows: &[RollupRow],
) -> Result<(), StoreError> {
    for rows in rows.chunks(ROWS_PER_STATEMENT) {
        let sums: Vec<Rollup> = rows.iter().map(|row| row.rollup.clone()).collect();
        let rows: Vec<Row<'_>> = rows.iter().zip(&sums).collect();
        insert(&mut *connection, window, &rows, OR_REPLACE).await?;
    }
    Ok(())
}

/// Writes rows: those that are there are replaced, those marked as new are not. The organizations
/// must be locked since it was seen that nothing is stored of these.
async fn write(
    connection: &mut PgConnection,
    window: Window,
    rows: &[RollupRow],
    sums: &[Rollup],
    is_new: &[bool],
) -> Result<(), StoreError> {
    let all: Vec<Row<'_>> = rows.iter().zip(sums).collect();
    if is_new.iter().filter(|new| **new).count() < WORTH_A_STATEMENT {
        return insert(connection, window, &all, OR_REPLACE).await;
    }
    let marked = all.into_iter().zip(is_new);
    let (new, old): (Vec<_>, Vec<_>) = marked.partition(|(_, new)| **new);
    let [new, old] = [new, old].map(|rows| column(&rows, |(row, _)| *row));
    insert(&mut *connection, window, &new, "").await?;
    if !old.is_empty() {
        insert(connection, window, &old, OR_REPLACE).await?;
    }
    Ok(())
}

/// The locks of organizations, sorted.
fn lock_keys(organizations: impl Iterator<Item = Uuid>) -> Vec<i32> {
    let lock = |id: Uuid| i32::try_from(id.as_u128() % LOCKS).unwrap_or_default();
    let mut keys: Vec<i32> = organizations.map(lock).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

struct Keys {
    organizations: Vec<Uuid>,
    scopes: Vec<&'static str>,
    buckets: Vec<DateTime<Utc>>,
    series: Vec<Uuid>,
}

impl Keys {
    fn of<'a>(rows: impl Iterator<Item = &'a RollupRow> + Clone) -> Self {
        Self {
            organizations: rows.clone().map(|r| r.organization_id).collect(),
            scopes: rows.clone().map(|r| r.scope.as_str()).collect(),
            buckets: rows.clone().map(|r| r.bucket_start.into()).collect(),
            series: rows.map(|r| r.series_id).collect(),
        }
    }
}

/// What each row is together with what is stored, and whether nothing is.
async fn sums(
    connection: &mut PgConnection,
    window: Window,
    rows: &[RollupRow],
    kept: &mut Kept,
) -> Result<(Vec<Rollup>, Vec<bool>), StoreError> {
    let mut unknown = Vec::new();
    let mut sums: Vec<Rollup> = Vec::with_capacity(rows.len());
    let mut is_new = vec![false; rows.len()];
    for (index, row) in rows.iter().enumerate() {
        sums.push(if let Some(mut stored) = kept.take(window, row) {
            stored.merge(&row.rollup);
            stored
        } else {
            unknown.push(index);
            is_new[index] = true;
            row.rollup.clone()
        });
    }
    if unknown.is_empty() {
        return Ok((sums, is_new));
    }
    // Looked up key by key in the primary key's index: with a plain join the planner, who
    // knows nothing yet of a chunk that is being filled, reads all of it each time. The
    // bounds let it leave out other chunks.
    let sql = format!(
        "select k.n, {SELECTED} \
         from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[]) \
            with ordinality as k(organization_id, scope, bucket_start, series_id, n) \
         cross join lateral ( \
            select * from flowmeter.rollups_{window} r \
            where r.organization_id = k.organization_id and r.scope = k.scope \
                and r.bucket_start = k.bucket_start and r.series_id = k.series_id \
                and r.bucket_start >= $5 and r.bucket_start <= $6 \
            limit 1) r"
    );
    let keys = Keys::of(unknown.iter().map(|index| &rows[*index]));
    let (first, last) = (
        keys.buckets.iter().min().copied(),
        keys.buckets.iter().max().copied(),
    );
    let stored: Vec<PgRow> = sqlx::query(AssertSqlSafe(sql))
        // Planned for these bounds each time: a plan for all of them would look everywhere.
        .persistent(false)
        .bind(keys.organizations)
        .bind(keys.scopes)
        .bind(keys.buckets)
        .bind(keys.series)
        .bind(first)
        .bind(last)
        .fetch_all(connection)
        .await?;
    for row in stored {
        let n: i64 = row.try_get("n")?;
        let rollup = RollupColumns::from_row(&row)?.rollup();
        let rollup = rollup.map_err(|what| StoreError::Corrupt {
            table: format!("rollups_{window}"),
            what,
        })?;
        let nth = usize::try_from(n - 1).unwrap_or(usize::MAX);
        if let Some(index) = unknown.get(nth) {
            sums[*index].merge(&rollup);
            is_new[*index] = false;
        }
    }
    Ok((sums, is_new))
}

/// Inserts rows; what becomes of one that is there, `on_conflict` says, or its key refuses it.
async fn insert(
    connection: &mut PgConnection,
    window: Window,
    rows: &[Row<'_>],
    on_conflict: &str,
) -> Result<(), StoreError> {
    let sql = format!(
        "insert into flowmeter.rollups_{window} ( \
            organization_id, scope, bucket_start, series_id, \
            kind, name, model, team_id, project_id, user_id, \
            event_count, success_count, error_count, timeout_count, cancelled_count, \
            execution_time_sum, execution_time_min, execution_time_max, histogram, \
            input_tokens, output_tokens, cost_usd, value_sum, value_min, value_max, \
            value_count, commands_executed) \
         select k1, k2, k3, k4, s1, s2, s3, s4, s5, s6, a, b, c, d, e, \
            f::numeric, g, h, i, j::numeric, k::numeric, l::numeric, m::numeric, n, o, p, q::numeric \
         from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], \
            $5::text[], $6::text[], $7::text[], $8::uuid[], $9::uuid[], $10::uuid[], \
            $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], \
            $16::text[], $17::bigint[], $18::bigint[], $19::bytea[], \
            $20::text[], $21::text[], $22::text[], $23::text[], \
            $24::double precision[], $25::double precision[], $26::bigint[], $27::text[]) \
            as r(k1, k2, k3, k4, s1, s2, s3, s4, s5, s6, \
                a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q) \
         {on_conflict}"
    );
    let keys = Keys::of(rows.iter().map(|(row, _)| *row));
    let measures = column(rows, |(_, sum)| RollupColumns::of(sum));
    sqlx::query(AssertSqlSafe(sql))
        .bind(keys.organizations)
        .bind(keys.scopes)
        .bind(keys.buckets)
        .bind(keys.series)
        .bind(column(rows, |(r, _)| r.series.kind.as_str()))
        .bind(column(rows, |(r, _)| r.series.name.as_str()))
        .bind(column(rows, |(r, _)| r.series.model.as_deref()))
        .bind(column(rows, |(r, _)| r.series.team_id))
        .bind(column(rows, |(r, _)| r.series.project_id))
        .bind(column(rows, |(r, _)| r.series.user_id))
        .bind(column(&measures, |m| m.event_count))
        .bind(column(&measures, |m| m.success_count))
        .bind(column(&measures, |m| m.error_count))
        .bind(column(&measures, |m| m.timeout_count))
        .bind(column(&measures, |m| m.cancelled_count))
        .bind(column(&measures, |m| m.execution_time_sum.as_str()))
        .bind(column(&measures, |m| m.execution_time_min))
        .bind(column(&measures, |m| m.execution_time_max))
        .bind(column(&measures, |m| m.histogram.as_slice()))
        .bind(column(&measures, |m| m.input_tokens.as_str()))
        .bind(column(&measures, |m| m.output_tokens.as_str()))
        .bind(column(&measures, |m| m.cost_usd.as_str()))
        .bind(column(&measures, |m| m.value_sum.as_deref()))
        .bind(column(&measures, |m| m.value_min))
        .bind(column(&measures, |m| m.value_max))
        .bind(column(&measures, |m| m.value_count))
        .bind(column(&measures, |m| m.commands_executed.as_str()))
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_sorted_and_few() {
        let ids = (0..1000).rev().map(Uuid::from_u128);
        let keys = lock_keys(ids);
        assert!(keys.is_sorted());
        assert_eq!(keys.len(), 256);
        assert!(lock_keys(std::iter::empty()).is_empty());
    }
}
