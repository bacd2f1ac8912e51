//! A key belongs to the payload it was first used with.

use platform::auth::Role;
use serde_json::json;

use super::harness::{Harness, command};

const KEY: [(&str, &str); 1] = [("idempotency-key", "night-1")];
const REUSED: (u16, &str) = (422, "idempotency_key_reused");

#[tokio::test]
async fn a_used_key_takes_the_same_payload_again_and_no_other() {
    let harness = Harness::start().await;
    let post = async |call, body| harness.post_as(Role::Developer, call, &KEY, &body).await;
    let event = command(json!({}));
    let first = post("commands", event.clone()).await;
    let again = post("commands", event.clone()).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body["event_id"], again.body["event_id"]);
    let other = post("commands", command(json!({"command_name": "test"}))).await;
    assert_eq!(other.code(), REUSED);
    let elsewhere = post("batch", json!({"command_executions": [event.clone()]})).await;
    assert_eq!(elsewhere.code(), REUSED, "another call");
    let batch = |events| json!({"batch_id": "night-2", "command_executions": events});
    let one = batch(vec![event.clone()]);
    assert_eq!(harness.post("batch", &one).await.status, 202);
    let two = harness.post("batch", &batch(vec![event; 2])).await;
    assert_eq!(two.code(), REUSED);
    assert_eq!(harness.post("batch", &one).await.status, 202);
}

#[tokio::test]
async fn a_request_refused_whole_does_not_use_up_its_key() {
    let harness = Harness::start().await;
    let post = async |call, body| harness.post_as(Role::Developer, call, &KEY, &body).await;
    let faulty = post("commands", command(json!({"status": "fine"}))).await;
    assert_eq!(faulty.code(), (400, "invalid_event"));
    let none = post("batch", json!({"command_executions": [{}]})).await;
    assert_eq!(none.code(), (400, "no_event_accepted"));
    assert_eq!(post("commands", command(json!({}))).await.status, 202);
    assert_eq!(
        post("commands", command(json!({"status": "error"})))
            .await
            .code(),
        REUSED
    );
}

#[tokio::test]
async fn without_an_answer_of_the_broker_the_key_stays_with_its_payload() {
    let settings = [
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("PUBLISH_TIMEOUT_MS", "500"),
    ];
    let harness = Harness::with(&settings).await;
    let post = async |body| {
        harness
            .post_as(Role::Developer, "commands", &KEY, &body)
            .await
    };
    let away = (503, "broker_unavailable");
    assert_eq!(post(command(json!({}))).await.code(), away);
    assert_eq!(
        post(command(json!({"status": "error"}))).await.code(),
        REUSED
    );
    assert_eq!(post(command(json!({}))).await.code(), away);
}
