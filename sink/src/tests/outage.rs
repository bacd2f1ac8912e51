//! A database that cannot be written for a while.

use platform::http::health::{CheckReport, CheckStatus};
use sqlx::AssertSqlSafe;

use super::{
    COMMANDS,
    support::{Pipeline, commands, expected},
};

/// What goes wrong, how it is mended, and what is said of it meanwhile. `%` is the database.
const TROUBLES: [(&str, &str, &str); 4] = [
    (
        "alter database % set default_transaction_read_only = on",
        "alter database % reset default_transaction_read_only",
        "read-only",
    ),
    (
        "revoke insert on flowmeter.command_executions from flowmeter_sink",
        "grant insert on flowmeter.command_executions to flowmeter_sink",
        "denies",
    ),
    (
        "alter database % connection limit 0",
        "alter database % connection limit -1",
        "too many connections",
    ),
    (
        "alter table flowmeter.rollups_1d rename column cost_usd to elsewhere",
        "alter table flowmeter.rollups_1d rename column elsewhere to cost_usd",
        "migrate",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_database_is_told_and_the_partitions_are_kept() {
    let pipeline = Pipeline::new(2).await;
    let mut config = pipeline.config();
    // Full before the outage is over: reading is paused.
    config.batch_records = 50;
    let sink = pipeline.start_with(config);
    let all = commands(0..2000);
    let mut parts = all.chunks(400);
    pipeline.publish(parts.next().unwrap()).await;
    pipeline.until(COMMANDS, 400).await;
    let members = pipeline.members().await;
    assert_eq!(members.len(), 1);
    let mut stored = 400;
    for ((cause, cure, told), events) in TROUBLES.into_iter().zip(parts) {
        change(&pipeline, cause).await;
        pipeline.publish(events).await;
        sink.until_health(|report| {
            let detail = report.detail.as_deref().unwrap_or_default();
            report.status == CheckStatus::Down && detail.contains(told)
        })
        .await;
        assert_eq!(pipeline.number(COMMANDS).await, stored, "{told}");
        change(&pipeline, cure).await;
        stored += 400;
        pipeline.until(COMMANDS, stored).await;
        sink.until_health(|report| report.status == CheckStatus::Ok)
            .await;
        assert_eq!(pipeline.members().await, members, "{told}: it has not left");
    }
    sink.stop().await;
    assert_eq!(pipeline.stored().await, expected(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_and_a_rebalance_do_not_wait_for_a_database_in_trouble() {
    let pipeline = Pipeline::new(2).await;
    let (first, second) = (pipeline.start(), pipeline.start());
    let all = commands(0..500);
    pipeline.publish(&all[..100]).await;
    pipeline.until(COMMANDS, 100).await;
    change(&pipeline, TROUBLES[1].0).await;
    pipeline.publish(&all[100..]).await;
    // One of them may have partitions of dead letters only, and then no trouble.
    let is_down = |report: &CheckReport| report.status == CheckStatus::Down;
    let first_is_down = tokio::select! {
        () = first.until_health(is_down) => true,
        () = second.until_health(is_down) => false,
    };
    let (down, other) = if first_is_down {
        (first, second)
    } else {
        (second, first)
    };
    down.stop().await;
    other.until_health(is_down).await;
    change(&pipeline, TROUBLES[1].1).await;
    pipeline.until(COMMANDS, 500).await;
    other.stop().await;
    assert_eq!(pipeline.stored().await, expected(&all));
}

/// Changes something of the test's own database, for connections that are there, too.
async fn change(pipeline: &Pipeline, sql: &str) {
    let database: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&pipeline.pool)
        .await
        .unwrap();
    let sql = AssertSqlSafe(sql.replace('%', &database));
    let mut connection = pipeline.pool.acquire().await.unwrap();
    // It may have been made while the database was read-only, and has stayed so.
    for sql in [
        AssertSqlSafe("set default_transaction_read_only = off".to_owned()),
        sql,
    ] {
        sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap();
    }
    pipeline
        .number(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity \
             where datname = current_database() and application_name = 'flowmeter-sink'",
        )
        .await;
}
