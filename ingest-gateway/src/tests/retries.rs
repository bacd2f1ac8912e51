//! Requests sent again, and those that must be.

use std::time::{Duration, Instant};

use platform::{auth::Role, http::health::HealthStatus};
use serde_json::json;

use super::harness::{Harness, command, id, one_of_each, with};

#[tokio::test]
async fn a_retried_request_gives_the_same_ids() {
    let harness = Harness::start().await;
    let developer = Role::Developer;
    let batch = with(one_of_each(), json!({"batch_id": "night-7"}));
    let first = harness.post("batch", &batch).await;
    let again = harness.post("batch", &batch).await;
    let key = [("idempotency-key", "night-7")];
    let by_both = harness.post_as(developer, "batch", &key, &batch).await;
    for answer in [&first, &again, &by_both] {
        assert_eq!(answer.status, 202);
        assert_eq!(answer.ids(), first.ids());
    }
    let other = with(batch.clone(), json!({"agent_interactions": []}));
    let refused = harness.post("batch", &other).await;
    assert_eq!(refused.code(), (422, "idempotency_key_reused"));
    let other = harness
        .post(
            "batch",
            &with(one_of_each(), json!({"batch_id": "night-8"})),
        )
        .await;
    assert!(other.ids().iter().all(|id| !first.ids().contains(id)));
    let key = [("idempotency-key", "night-9")];
    let conflict = harness.post_as(developer, "batch", &key, &batch).await;
    assert_eq!(conflict.code(), (400, "idempotency_key_conflict"));

    let event = command(json!({}));
    let first = harness.post_as(developer, "commands", &key, &event).await;
    let again = harness.post_as(developer, "commands", &key, &event).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body["event_id"], again.body["event_id"]);
    let long = "k".repeat(256);
    let key = [("idempotency-key", long.as_str())];
    let refused = harness.post_as(developer, "commands", &key, &event).await;
    assert_eq!(refused.code(), (400, "invalid_idempotency_key"));
}

#[tokio::test]
async fn without_a_broker_the_client_is_asked_to_come_again() {
    let settings = [
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("PUBLISH_TIMEOUT_MS", "1000"),
    ];
    let harness = Harness::with(&settings).await;
    let began = Instant::now();
    let answer = harness.post("commands", &command(json!({}))).await;
    // The client library looks for what took too long once a second.
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(answer.code(), (503, "broker_unavailable"));
    assert_eq!(answer.headers["retry-after"], "2");
    // Without it a client could not send the same event again.
    assert_eq!(id(&answer.body["event_id"]).get_version_num(), 7);

    let mut batch = one_of_each();
    batch["user_sessions"] = json!([{}]);
    let answer = harness.post("batch", &batch).await;
    assert_eq!(answer.code(), (503, "broker_unavailable"));
    assert_eq!(answer.headers["retry-after"], "2");
    let away = ("rejected", "broker_unavailable");
    let invalid = ("rejected", "invalid_event");
    assert_eq!(answer.results(), [away, away, away, invalid]);
    assert_eq!(answer.body["results"][0]["http_status"], 503);
    assert!(answer.body["results"][0]["event_id"].is_string());

    assert_eq!(harness.health.report().await.status, HealthStatus::Degraded);
}
