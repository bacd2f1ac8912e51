//! A bucket says when it is complete, also when nothing more comes.

use chrono::{TimeDelta, Utc};
use platform::auth::Role;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_over_becomes_complete_and_an_open_one_is_not() {
    let mut pipeline = Pipeline::start().await;
    let client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    // Of one topic and one partition of it: all others stay silent.
    let user = Uuid::new_v4();
    let past = Utc::now() - TimeDelta::hours(3);
    for at in [past, Utc::now()] {
        let event = json!({"user_id": user, "command_name": "build", "execution_time_ms": 7,
            "status": "success", "timestamp": at});
        let (status, answer) = client.post("/api/metrics/commands", &event).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    let rows = eventually("the past bucket is complete", || async {
        let rows = client.aggregated("aggregation_window=1h").await;
        let complete = rows.first().is_some_and(|row| row["complete"] == true);
        (complete && rows.len() == 2).then_some(rows)
    })
    .await;
    assert_eq!(rows[0]["commands"]["count"], 1);
    assert_eq!(rows[1]["complete"], false, "{rows:?}");
    // One that comes later still counts.
    let event = json!({"user_id": user, "command_name": "build", "execution_time_ms": 7,
        "status": "success", "timestamp": past});
    let (status, answer) = client.post("/api/metrics/commands", &event).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    eventually("the late event counts", || async {
        let rows = client.aggregated("aggregation_window=1h").await;
        (rows[0]["commands"]["count"] == 2 && rows[0]["complete"] == true).then_some(())
    })
    .await;
    pipeline.stop().await;
}
