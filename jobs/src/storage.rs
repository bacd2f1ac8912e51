//! How large everything is.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::gauge;
use platform::telemetry::names;
use serde_json::{Map, Value, json};

use crate::job::{Job, Run, Spec};

pub(crate) const SPEC: Spec = Spec {
    name: "storage",
    about: "measures tables and their chunks, and the database",
    schedule: "40 * * * *",
    timeout: Duration::from_secs(10 * 60),
};

const TABLES: &str = "\
    select h.hypertable_name::text, \
        coalesce(public.hypertable_size(format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass), 0)::bigint, \
        count(c.chunk_name), count(c.chunk_name) filter (where c.is_compressed), \
        min(c.range_start)::text \
    from timescaledb_information.hypertables h \
    left join timescaledb_information.chunks c using (hypertable_schema, hypertable_name) \
    where h.hypertable_schema = 'flowmeter' \
    group by h.hypertable_schema, h.hypertable_name order by 1";

/// The job.
pub(crate) struct Storage;

impl Storage {
    async fn measure(run: &Run) -> anyhow::Result<Value> {
        let (database, edition): (i64, String) = sqlx::query_as(
            "select pg_database_size(current_database()), current_setting('timescaledb.license')",
        )
        .fetch_one(&run.pool)
        .await?;
        gauge!(names::DATABASE_BYTES).set(database as f64);
        let rows: Vec<(String, i64, i64, i64, Option<String>)> =
            sqlx::query_as(TABLES).fetch_all(&run.pool).await?;
        let mut tables = Map::new();
        for (table, bytes, chunks, compressed, since) in rows {
            gauge!(names::TABLE_BYTES, "table" => table.clone()).set(bytes as f64);
            gauge!(names::TABLE_CHUNKS, "table" => table.clone()).set(chunks as f64);
            let mut measured = json!({ "bytes": bytes, "chunks": chunks, "since": since });
            // The Apache edition does not compress.
            if edition != "apache" {
                measured["compressed_chunks"] = compressed.into();
            }
            tables.insert(table, measured);
        }
        Ok(json!({ "database_bytes": database, "edition": edition, "tables": tables }))
    }
}

impl Job for Storage {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, anyhow::Result<Value>> {
        Self::measure(run).boxed()
    }
}
