//! An event that is sent again counts once, whatever happened in between.

use platform::auth::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

const COMMANDS: &str = "select count(*) from flowmeter.command_executions";
const COUNTED: &str = "select coalesce(sum(event_count), 0)::bigint from flowmeter.rollups_1d \
     where scope = 'organization' and kind = 'command'";

fn command(user: Uuid, name: &str, more: Value) -> Value {
    let mut event = json!({"user_id": user, "command_name": name, "execution_time_ms": 7,
        "status": "success"});
    let more = more.as_object().expect("an object").clone();
    event.as_object_mut().expect("an object").extend(more);
    event
}

/// Posts an event that comes after all others of its user: once it is stored, so is what
/// came before it, or never will be.
async fn settle(pipeline: &Pipeline, client: &Client, user: Uuid) {
    let id = Uuid::new_v4();
    let event = command(user, "last", json!({"event_id": id}));
    let (status, answer) = client.post("/api/metrics/commands", &event).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    eventually("the last event is stored", || async {
        let sql = "select exists (select from flowmeter.command_executions where event_id = $1)";
        let stored: bool = sqlx::query_scalar(sql)
            .bind(id)
            .fetch_one(&pipeline.pool)
            .await
            .unwrap();
        stored.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_counts_once_also_after_a_restart() {
    let mut pipeline = Pipeline::start().await;
    let user = Uuid::new_v4();
    let mut client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let event = command(user, "build", json!({"event_id": Uuid::new_v4()}));
    let batch = json!({
        "batch_id": "night",
        "command_executions": [command(user, "a", json!({})), command(user, "b", json!({}))],
    });
    for round in 0..3 {
        for _ in 0..2 {
            let (status, answer) = client.post("/api/metrics/commands", &event).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
            let (status, answer) = client.post("/api/metrics/batch", &batch).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        }
        settle(&pipeline, &client, user).await;
        let distinct = 3 + round + 1;
        assert_eq!(pipeline.number(COMMANDS).await, distinct);
        // The deltas were in the same transaction, in another partition perhaps.
        eventually("each counts once", || async {
            (pipeline.number(COUNTED).await == distinct).then_some(())
        })
        .await;
        pipeline.stop().await;
        pipeline.resume().await;
        client.reconnect(&pipeline);
    }
    let letters = "select count(*) from flowmeter.dead_letters";
    assert_eq!(pipeline.number(letters).await, 0);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_event_under_a_used_id_is_kept_as_a_dead_letter() {
    let mut pipeline = Pipeline::start().await;
    let (user, id) = (Uuid::new_v4(), Uuid::new_v4());
    let client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    // The time alone may differ: a client that sends none gets a new one each time.
    for (name, more) in [
        ("build", json!({})),
        (
            "build",
            json!({"timestamp": chrono::Utc::now() - chrono::TimeDelta::minutes(9)}),
        ),
        ("test", json!({})),
    ] {
        let mut event = command(user, name, more);
        event["event_id"] = json!(id);
        let (status, answer) = client.post("/api/metrics/commands", &event).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    settle(&pipeline, &client, user).await;
    assert_eq!(pipeline.number(COMMANDS).await, 2);
    let letters = eventually("the other event is a dead letter", || async {
        let sql = "select reason, event_id from flowmeter.dead_letters";
        let rows: Vec<(String, Option<Uuid>)> =
            sqlx::query_as(sql).fetch_all(&pipeline.pool).await.unwrap();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(letters, [("conflicting_duplicate".to_owned(), Some(id))]);
    pipeline.stop().await;
}
