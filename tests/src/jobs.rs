//! The jobs, on a running Flowmeter.

use std::sync::Arc;

use ::jobs::{Outcome, run_by_hand};
use chrono::{TimeDelta, Utc};
use flowmeter::jobs::JobsSettings;
use flowmeter::load::{self, LoadArgs};
use indicatif::ProgressBar;
use platform::auth::Role;
use platform::lifecycle::Shutdown;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};
use crate::rebuild::until_stored;

/// Everything about every rollup but when it was written.
const ROLLUPS: &str = "select string_agg(j, '' order by j) from ( \
     select (to_jsonb(r) - 'updated_at')::text as j from flowmeter.rollups_1m r \
     union all select (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_1h r \
     union all select (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_1d r) t";

/// Events of some hours that end so many days ago.
async fn send(pipeline: &Pipeline, client: &Client, days_ago: i64) {
    let args = LoadArgs {
        url: pipeline.base().parse().unwrap(),
        token: Some(client.token.clone()),
        organization: None,
        events: 500,
        seed: days_ago.unsigned_abs(),
        rate: 0,
        batch: 100,
        concurrency: 4,
        receipts: None,
        users: 10,
        teams: 3,
        hours: 2,
        until: Some(Utc::now() - TimeDelta::days(days_ago)),
    };
    let bar = ProgressBar::hidden();
    let sent = load::send(&args, &client.token, &bar, &Shutdown::new())
        .await
        .unwrap();
    assert_eq!(sent.accepted, 500);
}

async fn by_hand(pipeline: &Pipeline, name: &str) -> serde_json::Value {
    let mut env = pipeline.env();
    let settings = JobsSettings::from_env(&mut env);
    env.finish().unwrap();
    let all = settings.all().unwrap();
    let told = Arc::new(|_: &str| ());
    let outcome = run_by_hand(&settings.jobs, &all, name, told, &Shutdown::new()).await;
    assert_eq!(outcome.unwrap(), Outcome::Succeeded, "{name}");
    let details =
        "select details::text from flowmeter.job_runs where job = $1 order by id desc limit 1";
    let details: String = sqlx::query_scalar(details)
        .bind(name)
        .fetch_one(&pipeline.pool)
        .await
        .unwrap();
    serde_json::from_str(&details).unwrap()
}

async fn dump(pipeline: &Pipeline) -> String {
    sqlx::query_scalar(ROLLUPS)
        .fetch_one(&pipeline.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_rollup_is_healed_on_schedule_and_history_and_metric_say_so() {
    let mut pipeline = Pipeline::start_with(&[
        ("JOBS_ENABLED", "true"),
        ("JOB_RECONCILE_SCHEDULE", "* * * * * *"),
    ])
    .await;
    let organization = Uuid::new_v4();
    let client = Client::of(&pipeline, organization, Role::Admin);
    send(&pipeline, &client, 0).await;
    until_stored(&pipeline, 500).await;
    let before = dump(&pipeline).await;
    // One of a day that is looked at, whatever the time of day is.
    let corrupt = "update flowmeter.rollups_1h set event_count = event_count + 1 where (tableoid, ctid) = ( \
         select tableoid, ctid from flowmeter.rollups_1h where scope = 'team' order by bucket_start desc limit 1)";
    let corrupted = sqlx::query(corrupt).execute(&pipeline.pool).await.unwrap();
    assert_eq!(corrupted.rows_affected(), 1);
    eventually("it is healed", || async {
        (dump(&pipeline).await == before).then_some(())
    })
    .await;
    let told = format!(
        "select count(*) from flowmeter.job_runs where job = 'reconcile' and outcome = 'succeeded' \
         and details->'healed'->0->>'organization_id' = '{organization}' \
         and details->'healed'->0->'windows'->'1h'->>'wrong' = '1'"
    );
    eventually("the history says so", || async {
        let told = sqlx::query_scalar::<_, i64>(AssertSqlSafe(told.clone()));
        (told.fetch_one(&pipeline.pool).await.unwrap() == 1).then_some(())
    })
    .await;
    let wanted = [
        "flowmeter_rollups_healed_total{window=\"1h\"} 1",
        "flowmeter_job_runs_total{job=\"reconcile\",outcome=\"succeeded\"}",
        "flowmeter_job_last_success_timestamp_seconds{job=\"health\"}",
        "flowmeter_jobs_leader 1",
        "flowmeter_table_bytes{table=\"rollups_1h\"}",
    ];
    eventually("the metrics say so", || async {
        let (_, metrics) = client.get("/metrics").await;
        let metrics = metrics.as_str().unwrap();
        wanted
            .iter()
            .all(|line| metrics.contains(line))
            .then_some(())
    })
    .await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_removes_raw_rows_and_equality_is_judged_without_them() {
    let mut pipeline = Pipeline::start().await;
    let organization = Uuid::new_v4();
    let client = Client::of(&pipeline, organization, Role::Admin);
    for days_ago in [40, 20, 0] {
        send(&pipeline, &client, days_ago).await;
    }
    until_stored(&pipeline, 1500).await;
    let before = dump(&pipeline).await;
    let kept = "insert into flowmeter.retention select $1, t, 30 from unnest(array['command_executions', \
         'agent_interactions', 'productivity_metrics', 'user_sessions']) t";
    sqlx::query(kept)
        .bind(organization)
        .execute(&pipeline.pool)
        .await
        .unwrap();
    by_hand(&pipeline, "retention").await;
    let raw = "select (select count(*) from flowmeter.command_executions) \
         + (select count(*) from flowmeter.agent_interactions) \
         + (select count(*) from flowmeter.productivity_metrics) \
         + (select count(*) from flowmeter.user_sessions)";
    assert_eq!(pipeline.number(raw).await, 1000);
    assert!(
        dump(&pipeline).await == before,
        "rollups outlive the raw rows"
    );

    // All that is compared is as it was, and what cannot be compared is left alone.
    pipeline.set(&[("RECONCILE_DAYS", "60")]);
    let looked = by_hand(&pipeline, "reconcile-wide").await;
    assert_eq!(looked["rollups_healed"], 0, "{looked}");
    assert!(looked["expired_days"].as_u64().unwrap() >= 15, "{looked}");
    let restored = crate::rebuild::from_kafka(&pipeline, 60).await;
    assert_eq!(
        (restored.restored, restored.events),
        (0, 1000),
        "{restored}"
    );
    assert!(dump(&pipeline).await == before);

    // A late event of such a day counts in its rollups, and is no reason to judge the others.
    send(&pipeline, &client, 41).await;
    until_stored(&pipeline, 2000).await;
    let with_late = dump(&pipeline).await;
    by_hand(&pipeline, "reconcile-wide").await;
    by_hand(&pipeline, "retention").await;
    assert_eq!(pipeline.number(raw).await, 1000);
    assert!(dump(&pipeline).await == with_late);

    // What else is looked at.
    let report = by_hand(&pipeline, "report").await;
    assert!(report["day"].is_string(), "{report}");
    let health = by_hand(&pipeline, "health").await;
    let firing = health["firing"].as_array().unwrap();
    assert!(
        !firing.iter().any(|alert| alert[0] == "kafka_away"),
        "{health}"
    );
    let storage = by_hand(&pipeline, "storage").await;
    assert!(
        storage["tables"]["rollups_1h"]["bytes"].as_u64().unwrap() > 0,
        "{storage}"
    );
    pipeline.stop().await;
}
