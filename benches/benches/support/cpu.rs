//! Processor time of the database's processes.

use benches::harness::process::cpu_seconds;
use sqlx::PgPool;

/// What the server's processes of the sinks of this database used since they began, in seconds.
pub(crate) async fn backends(pool: &PgPool) -> f64 {
    let sql = "select pid from pg_stat_activity \
         where datname = current_database() and application_name = 'flowmeter-sink'";
    let pids: Vec<i32> = sqlx::query_scalar(sql)
        .fetch_all(pool)
        .await
        .expect("the database answers");
    pids.into_iter().map(cpu_seconds).sum()
}
