//! Tables, out and in by binary `COPY`.

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::TryStreamExt;
use sqlx::{PgConnection, PgPool, postgres::PgPoolCopyExt};

use crate::harness::{Part, process::CpuClock};

/// What the sink writes of commands.
const TABLES: [&str; 7] = [
    "command_executions",
    "rollups_1m",
    "rollups_5m",
    "rollups_15m",
    "rollups_1h",
    "rollups_1d",
    "rollups_1d_by_user",
];

/// A table's rows in PostgreSQL's binary form.
pub(super) struct Copied {
    table: &'static str,
    pub(super) rows: u64,
    bytes: Vec<u8>,
}

/// All rows of the tables.
///
/// # Errors
/// The database's.
pub(super) async fn copy_out(pool: &PgPool) -> anyhow::Result<Vec<Copied>> {
    let mut all = Vec::new();
    for table in TABLES {
        let rows = count(pool, table).await?;
        // A hypertable's rows are in its chunks, so the table alone would give none.
        let sql = format!("copy (select * from flowmeter.{table}) to stdout (format binary)");
        let stream = pool.copy_out_raw(&sql).await?;
        let add = |mut bytes: Vec<u8>, more: Bytes| async move {
            bytes.extend_from_slice(&more);
            Ok(bytes)
        };
        let bytes = stream.try_fold(Vec::new(), add).await?;
        all.push(Copied { table, rows, bytes });
    }
    Ok(all)
}

/// Takes them in, in one transaction; gives what the server's process used.
///
/// # Errors
/// The database's.
pub(super) async fn copy_in(pool: &PgPool, all: &[Copied]) -> anyhow::Result<Part> {
    let mut transaction = pool.begin().await?;
    let connection: &mut PgConnection = &mut transaction;
    let pid = sqlx::query_scalar("select pg_backend_pid()");
    let pid: i32 = pid.fetch_one(&mut *connection).await?;
    let clock = CpuClock::of(pid.unsigned_abs());
    for Copied { table, bytes, .. } in all {
        let sql = format!("copy flowmeter.{table} from stdin (format binary)");
        let mut copy = connection.copy_in_raw(&sql).await?;
        // As psql does it: pieces, not one message.
        for piece in bytes.chunks(64 << 10) {
            copy.send(piece).await?;
        }
        copy.finish().await.with_context(|| table.to_owned())?;
    }
    transaction.commit().await?;
    Ok(clock.part("PostgreSQL"))
}

/// That each table has as many rows as were copied out.
///
/// # Errors
/// If one has others, or the database's.
pub(super) async fn check(pool: &PgPool, all: &[Copied]) -> anyhow::Result<()> {
    for Copied { table, rows, .. } in all {
        let found = count(pool, table).await?;
        anyhow::ensure!(found == *rows, "{table} has {found} rows, not {rows}");
    }
    Ok(())
}

/// A table's rows.
///
/// # Errors
/// The database's.
async fn count(pool: &PgPool, table: &str) -> anyhow::Result<u64> {
    let sql = format!("select count(*) from flowmeter.{table}");
    let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(pool)
        .await?;
    Ok(rows.unsigned_abs())
}
