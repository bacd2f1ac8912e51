//! Answers are kept, and no change of rows goes by unseen.

use chrono::{TimeDelta, Utc};
use flowmeter::rebuild::{RebuildArgs, Source};
use platform::auth::Role;
use platform::database;
use serde_json::json;
use sqlx::Executor;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};
use crate::rebuild::rebuild;

const AGGREGATED: &str = "/api/metrics/aggregated?aggregation_window=1d";

/// Commands in the answer, and whether it was kept.
async fn ask(client: &Client) -> (u64, bool) {
    let (status, answer) = client.get(AGGREGATED).await;
    assert_eq!(status, 200, "{answer}");
    let rows = answer["data"].as_array().unwrap();
    let count = rows
        .iter()
        .map(|row| row["commands"]["count"].as_u64().unwrap());
    (count.sum(), answer["cache"] == "hit")
}

async fn until(client: &Client, wanted: u64) {
    eventually("the newest answer", || async {
        (ask(client).await.0 == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_rows_ends_the_answers_made_of_them() {
    let mut pipeline = Pipeline::start().await;
    let organization = Uuid::new_v4();
    let client = Client::of(&pipeline, organization, Role::Admin);
    let user = Uuid::new_v4();
    // The sink.
    for count in 1..=4 {
        let command = json!({
            "user_id": user, "command_name": "build", "execution_time_ms": 5, "status": "success",
        });
        let path = "/api/metrics/commands?wait=stored";
        let (status, answer) = client.post(path, &command).await;
        assert!(status.is_success(), "{answer}");
        until(&client, count).await;
    }
    eventually("a kept answer", || async {
        ask(&client).await.1.then_some(())
    })
    .await;

    // What is damaged behind everybody's back is seen by nobody, until it is healed.
    let damage = "update flowmeter.rollups_1d set event_count = event_count + 10, \
        success_count = success_count + 10";
    pipeline.pool.execute(damage).await.unwrap();
    let version = "select version from flowmeter.organization_versions \
        where organization_id <> '00000000-0000-0000-0000-000000000000'";
    let before = pipeline.number(version).await;
    let args = RebuildArgs {
        from: Utc::now() - TimeDelta::hours(4),
        to: None,
        organization: None,
        source: Source::Database,
        dry_run: false,
    };
    rebuild(&pipeline, &args).await;
    let healed = pipeline.number(version).await;
    assert!(healed > before);
    until(&client, 4).await;
    rebuild(&pipeline, &args).await;
    assert_eq!(
        pipeline.number(version).await,
        healed,
        "nothing was changed"
    );

    // Retention.
    let jobs = pipeline.database.pool(database::Role::Jobs).await;
    let old = "insert into flowmeter.command_executions \
        select (jsonb_populate_record(c, jsonb_build_object('timestamp', now() - interval '40 days'))).* \
        from flowmeter.command_executions c limit 1";
    pipeline.pool.execute(old).await.unwrap();
    let (from, to): (chrono::DateTime<Utc>, chrono::DateTime<Utc>) = sqlx::query_as(
        "select range_start, range_end from timescaledb_information.chunks \
         where hypertable_name = 'command_executions' order by range_start limit 1",
    )
    .fetch_one(&pipeline.pool)
    .await
    .unwrap();
    sqlx::query("select flowmeter.move_retention_boundary($1, 'command_executions', $2)")
        .bind(organization)
        .bind(to)
        .execute(&jobs)
        .await
        .unwrap();
    let dropped: bool =
        sqlx::query_scalar("select flowmeter.drop_expired_chunk('command_executions', $1, $2)")
            .bind(from)
            .bind(to)
            .fetch_one(&jobs)
            .await
            .unwrap();
    assert!(dropped);
    assert!(pipeline.number(version).await > healed);
    until(&client, 4).await;
    pipeline.stop().await;
}
