//! One table's expired rows: boundaries, then chunks, then what is left in chunks that some
//! organization keeps.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::counter;
use platform::telemetry::names;
use serde::Serialize;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::policy::Policy;
use crate::job::Run;

/// A chunk's rows are deleted in so many steps, or by days if that is more: transactions stay
/// short.
const STEPS: i32 = 24;

/// What was done to a table.
#[derive(Debug, Default, Serialize)]
pub(super) struct Removed {
    /// Dropped whole.
    chunks: u64,
    /// Deleted one by one.
    rows: u64,
    /// Organizations with rows that have expired.
    organizations: usize,
}

impl Removed {
    pub(super) fn is_nothing(&self) -> bool {
        self.chunks == 0 && self.rows == 0 && self.organizations == 0
    }
}

/// A table, and when it is looked at.
pub(super) struct Table<'a> {
    pub(super) name: &'static str,
    pub(super) run: &'a Run,
    pub(super) now: DateTime<Utc>,
}

/// Whose rows there are before an instant. Jumps from one organization to the next by the
/// index, whatever rows each has.
fn owners(table: &str, column: &str) -> String {
    format!(
        "with recursive found(id) as (
            (select organization_id from flowmeter.{table} where {column} < $1
                order by organization_id limit 1)
            union all
            select (select organization_id from flowmeter.{table}
                where organization_id > found.id and {column} < $1
                order by organization_id limit 1)
            from found where found.id is not null)
        select id from found where id is not null
        union select '00000000-0000-0000-0000-000000000000'::uuid where exists (
            select from flowmeter.{table} where organization_id is null and {column} < $1)"
    )
}

type Chunk = (DateTime<Utc>, DateTime<Utc>);

impl Table<'_> {
    /// Removes what has expired, until told to stop.
    pub(super) async fn remove(
        &self,
        policy: &Policy,
        removed: &mut Removed,
    ) -> anyhow::Result<()> {
        let chunks = self.chunks(policy.latest(self.name, self.now)).await?;
        let Some((_, end)) = chunks.last() else {
            return Ok(());
        };
        let boundaries = self.move_boundaries(policy, &chunks, *end).await?;
        removed.organizations = boundaries.len();
        for chunk in &chunks {
            if self.run.stop.is_triggered() {
                return Ok(());
            }
            self.run.progress(&format!(
                "{}: {} chunks dropped, {} rows deleted",
                self.name, removed.chunks, removed.rows
            ));
            if self.drop_chunk(chunk).await? {
                removed.chunks += 1;
                counter!(names::RETENTION_CHUNKS, "table" => self.name).increment(1);
                continue;
            }
            for (organization, _) in boundaries.iter().filter(|(_, since)| **since >= chunk.1) {
                removed.rows += self.delete(*organization, chunk).await?;
            }
        }
        Ok(())
    }

    /// The chunks that end by an instant, by time.
    async fn chunks(&self, until: DateTime<Utc>) -> sqlx::Result<Vec<Chunk>> {
        let sql = "select range_start, range_end from timescaledb_information.chunks \
             where hypertable_schema = 'flowmeter' and hypertable_name = $1 and range_end <= $2 \
             order by range_start";
        sqlx::query_as(sql)
            .bind(self.name)
            .bind(until)
            .fetch_all(&self.run.pool)
            .await
    }

    /// Records, of each organization that has expired rows, from when on it keeps all. A
    /// boundary is a chunk's end, so that chunks go whole.
    async fn move_boundaries(
        &self,
        policy: &Policy,
        chunks: &[Chunk],
        end: DateTime<Utc>,
    ) -> sqlx::Result<BTreeMap<Uuid, DateTime<Utc>>> {
        let column: String = sqlx::query_scalar(
            "select quote_ident(column_name) from timescaledb_information.dimensions \
             where hypertable_schema = 'flowmeter' and hypertable_name = $1",
        )
        .bind(self.name)
        .fetch_one(&self.run.pool)
        .await?;
        let owners: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(owners(self.name, &column)))
            .bind(end)
            .fetch_all(&self.run.pool)
            .await?;
        let mut boundaries = BTreeMap::new();
        for organization in owners {
            let kept = policy.boundary(organization, self.name, self.now);
            let ends = chunks.iter().map(|(_, end)| *end);
            let Some(since) = ends.filter(|end| *end <= kept).max() else {
                continue;
            };
            sqlx::query("select flowmeter.move_retention_boundary($1, $2, $3)")
                .bind(organization)
                .bind(self.name)
                .bind(since)
                .execute(&self.run.pool)
                .await?;
            boundaries.insert(organization, since);
        }
        Ok(boundaries)
    }

    /// Whether all organizations agree that the chunk is gone.
    async fn drop_chunk(&self, (start, end): &Chunk) -> sqlx::Result<bool> {
        let mut transaction = self.run.pool.begin().await?;
        // Whoever waits for an exclusive lock makes those wait that come after.
        sqlx::query("set local lock_timeout = '5s'")
            .execute(&mut *transaction)
            .await?;
        let dropped = sqlx::query_scalar("select flowmeter.drop_expired_chunk($1, $2, $3)")
            .bind(self.name)
            .bind(start)
            .bind(end)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(dropped)
    }

    async fn delete(&self, organization: Uuid, (start, end): &Chunk) -> sqlx::Result<u64> {
        let step = ((*end - *start) / STEPS).min(TimeDelta::days(1));
        let (mut at, mut deleted) = (*start, 0);
        while at < *end && !self.run.stop.is_triggered() {
            let next = (at + step).min(*end);
            let rows: i64 =
                sqlx::query_scalar("select flowmeter.delete_expired_rows($1, $2, $3, $4)")
                    .bind(self.name)
                    .bind(organization)
                    .bind(at)
                    .bind(next)
                    .fetch_one(&self.run.pool)
                    .await?;
            deleted += rows.unsigned_abs();
            at = next;
        }
        counter!(names::RETENTION_ROWS, "table" => self.name).increment(deleted);
        Ok(deleted)
    }
}
