//! A producer learns what became of its event.

use platform::auth::Role;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_answered_when_the_row_is_there() {
    let mut pipeline = Pipeline::start().await;
    let client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let event = json!({"user_id": Uuid::new_v4(), "command_name": "build",
        "execution_time_ms": 5, "status": "success"});
    // The first event of a pipeline also waits for its consumers to join their groups.
    let event_id = eventually("an event is stored while it is waited for", || async {
        let (status, answer) = client
            .post("/api/metrics/commands?wait=stored", &event)
            .await;
        assert!(status.is_success(), "{answer}");
        let stored = status == StatusCode::OK && answer["status"] == "stored";
        stored.then(|| answer["event_id"].as_str().unwrap().to_owned())
    })
    .await;
    let rows: i64 = sqlx::query_scalar(
        "select count(*) from flowmeter.command_executions where event_id = $1::uuid",
    )
    .bind(&event_id)
    .fetch_one(&pipeline.pool)
    .await
    .unwrap();
    assert_eq!(rows, 1);

    let path = format!("/api/metrics/events/{event_id}");
    let (status, answer) = client.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["events"][0]["status"], "stored");
    let stranger = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let unknown = format!("/api/metrics/events/{}", Uuid::new_v4());
    for (client, path) in [(&stranger, &path), (&client, &unknown)] {
        let (status, answer) = client.get(path).await;
        assert_eq!(
            (status, answer["code"].as_str()),
            (StatusCode::NOT_FOUND, Some("event_unknown"))
        );
    }
    pipeline.stop().await;
}
