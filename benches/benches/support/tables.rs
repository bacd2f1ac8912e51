//! Tables, out and in by binary `COPY`.

use benches::harness::process::CpuClock;
use futures_util::TryStreamExt;
use sqlx::{PgConnection, PgPool, postgres::PgPoolCopyExt};

const TABLES: [&str; 7] = [
    "command_executions",
    "agent_interactions",
    "rollups_1m",
    "rollups_5m",
    "rollups_15m",
    "rollups_1h",
    "rollups_1d",
];

/// A table's rows in PostgreSQL's binary form.
pub(crate) struct Copied {
    table: &'static str,
    pub(crate) rows: i64,
    bytes: Vec<u8>,
}

pub(crate) async fn copy_out(pool: &PgPool) -> Vec<Copied> {
    let mut all = Vec::new();
    for table in TABLES {
        let count = format!("select count(*) from flowmeter.{table}");
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(count));
        let rows = rows.fetch_one(pool).await.expect("the table is there");
        // A hypertable's rows are in its chunks, so the table alone would give none.
        let sql = format!("copy (select * from flowmeter.{table}) to stdout (format binary)");
        let stream = pool.copy_out_raw(&sql).await.expect("it is copied");
        let add = |mut bytes: Vec<u8>, more: bytes::Bytes| async move {
            bytes.extend_from_slice(&more);
            Ok(bytes)
        };
        let bytes = stream.try_fold(Vec::new(), add).await;
        let bytes = bytes.expect("it is copied");
        all.push(Copied { table, rows, bytes });
    }
    all
}

/// In one transaction, as the sink writes; gives the server's processor seconds.
pub(crate) async fn copy_in(pool: &PgPool, all: &[Copied]) -> f64 {
    let mut transaction = pool.begin().await.expect("a transaction begins");
    let connection: &mut PgConnection = &mut transaction;
    let pid = sqlx::query_scalar("select pg_backend_pid()");
    let pid: i32 = pid.fetch_one(&mut *connection).await.expect("it has one");
    let clock = CpuClock::of(pid.unsigned_abs());
    for Copied { table, bytes, .. } in all {
        let sql = format!("copy flowmeter.{table} from stdin (format binary)");
        let mut copy = connection.copy_in_raw(&sql).await.expect("it is taken");
        // As psql does it: pieces, not one message.
        for piece in bytes.chunks(64 << 10) {
            copy.send(piece).await.expect("it is taken");
        }
        copy.finish().await.expect("all rows are taken");
    }
    transaction.commit().await.expect("it is committed");
    clock.elapsed()
}
