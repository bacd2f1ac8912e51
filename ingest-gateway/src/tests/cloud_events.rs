//! CloudEvents in their three modes.

use axum::http::Method;
use platform::auth::Role;
use schemas::EventKind;
use serde_json::{Value, json};
use uuid::Uuid;

use super::harness::{Answer, Harness, OTHER, command, id, now_as_text, one_of_each, with};

const STRUCTURED: (&str, &str) = (
    "content-type",
    "application/cloudevents+json; charset=utf-8",
);
const BATCHED: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
const COMMANDS: EventKind = EventKind::CommandExecution;

fn envelope(id: &str, kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/ci/runner-3", "traceparent": "00-1-2-01",
        "type": format!("com.flowmeter.{kind}.v1"), "data": data,
    })
}

async fn post(harness: &Harness, mode: (&str, &str), body: &Value) -> Answer {
    harness
        .call(Method::POST, "events", &[mode], body.to_string())
        .await
}

#[tokio::test]
async fn a_cloud_event_delivered_twice_is_one_event_in_every_mode() {
    let harness = Harness::start().await;
    let at = now_as_text(chrono::TimeDelta::hours(-3));
    let event = envelope("caf\u{e9} 1", "command_execution", command(json!({})));
    let event = with(event, json!({"time": at}));
    let structured = post(&harness, STRUCTURED, &event).await;
    assert_eq!(
        (structured.status, &structured.body["status"]),
        (202, &json!("accepted"))
    );
    let event_id = id(&structured.body["event_id"]);
    assert_eq!(event_id.get_version_num(), 5);

    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "caf%C3%A9%201"),
        ("ce-source", "/ci/runner-3"),
        ("ce-type", "com.flowmeter.command_execution.v1"),
        ("ce-time", &at),
        ("ce-traceparent", "00-1-2-01"),
    ];
    let data = command(json!({})).to_string();
    let binary = harness.call(Method::POST, "events", &headers, data).await;
    let batched = post(&harness, BATCHED, &json!([event])).await;
    assert_eq!((binary.status, batched.status), (202, 202));
    assert_eq!(id(&binary.body["event_id"]), event_id);
    assert_eq!(batched.ids(), [event_id]);

    let stored = harness.stored(COMMANDS).await;
    assert_eq!(stored.len(), 3);
    for record in &stored {
        let (key, event) = (&stored[0].key, &stored[0].event);
        assert_eq!((&record.key, &record.event), (key, event));
    }
    assert_eq!(stored[0].event.common().timestamp.to_string(), at);
}

#[tokio::test]
async fn a_uuid_is_the_events_id() {
    let harness = Harness::start().await;
    let own = Uuid::now_v7();
    let mut events = one_of_each();
    let kinds = EventKind::ALL.map(|kind| {
        envelope(
            &own.to_string(),
            kind.as_str(),
            events[kind.plural()][0].take(),
        )
    });
    let answer = post(&harness, BATCHED, &json!(kinds)).await;
    assert_eq!((answer.status, answer.ids()), (202, vec![own; 4]));
    for kind in EventKind::ALL {
        let stored = harness.stored(kind).await;
        assert_eq!(stored[0].event.common().event_id, own, "{kind}");
    }
}

#[tokio::test]
async fn each_cloud_event_of_a_batch_is_judged_alone() {
    let harness = Harness::start().await;
    let sound = |id: &str| envelope(id, "command_execution", command(json!({})));
    let others = envelope("3", "command_execution", command(json!({"user_id": OTHER})));
    let batch = json!([sound("1"), {"type": "other"}, sound("1"), others, 17, sound("2")]);
    let answer = post(&harness, BATCHED, &batch).await;
    assert_eq!(answer.status, 207);
    let accepted = ("accepted", "");
    let rejected = |code| ("rejected", code);
    assert_eq!(
        answer.results(),
        [
            accepted,
            rejected("invalid_event"),
            rejected("duplicate_event_id"),
            rejected("not_as_itself"),
            rejected("invalid_event"),
            accepted,
        ]
    );
    let results = answer.body["results"].as_array().unwrap();
    assert!(
        results
            .iter()
            .enumerate()
            .all(|(i, result)| result["index"] == i)
    );
    assert_eq!(
        (&results[0]["kind"], &results[1]["kind"]),
        (&json!("command_execution"), &Value::Null)
    );
    assert_eq!(results[2]["errors"][0]["pointer"], "/id");
    assert_eq!(results[3]["errors"][0]["pointer"], "/data/user_id");
    assert_eq!(harness.stored(COMMANDS).await.len(), 2);

    let none = post(&harness, BATCHED, &json!([{}])).await;
    assert_eq!(none.code(), (400, "no_event_accepted"));
    // A batch may be empty (HTTP binding, section 3.3.2): then all of it is accepted.
    let empty = post(&harness, BATCHED, &json!([])).await;
    assert_eq!((empty.status, &empty.body["accepted"]), (202, &json!(0)));
    let object = post(&harness, BATCHED, &sound("4")).await;
    assert_eq!(
        (object.code(), object.faults()),
        ((400, "invalid_batch"), vec![("", "type")])
    );
    let many = post(&harness, BATCHED, &json!(vec![1; 1001])).await;
    assert_eq!(many.code(), (413, "batch_too_large"));
}

#[tokio::test]
async fn all_faults_of_a_cloud_event_are_told_at_once() {
    let harness = Harness::start().await;
    let mut event = envelope(
        "",
        "command_execution",
        json!({"execution_time_ms": -1, "a/b": 1}),
    );
    event["time"] = json!("noon");
    let answer = post(&harness, STRUCTURED, &event).await;
    assert_eq!(answer.code(), (400, "invalid_event"));
    let expected = [
        ("/data/a~1b", "unknown_field"),
        ("/data/command_name", "required"),
        ("/data/execution_time_ms", "range"),
        ("/data/status", "required"),
        ("/data/user_id", "required"),
        ("/id", "pattern"),
        ("/time", "timestamp"),
    ];
    assert_eq!(answer.faults(), expected);

    let late = with(
        envelope("1", "command_execution", command(json!({}))),
        json!({"time": "2001-01-01T00:00:00Z"}),
    );
    let answer = post(&harness, STRUCTURED, &late).await;
    assert_eq!(answer.faults(), [("/time", "timestamp_too_old")]);
    let json = ("content-type", "application/json");
    let answer = post(&harness, json, &command(json!({}))).await;
    let expected = ["/id", "/source", "/specversion", "/type"].map(|at| (at, "required"));
    assert_eq!(answer.faults(), expected);
    assert!(harness.stored(COMMANDS).await.is_empty());
}

#[tokio::test]
async fn one_cloud_event_is_limited_as_one_event_and_a_batch_as_a_batch() {
    let harness = Harness::start().await;
    let bearer = format!("Bearer {}", harness.token(Role::Developer));
    let token = ("authorization", bearer.as_str());
    let json = ("content-type", "application/json");
    for (mode, limit) in [(STRUCTURED, 1 << 20), (json, 1 << 20), (BATCHED, 10 << 20)] {
        let answer = harness
            .send("events", &[token, mode], " ".repeat(limit + 1))
            .await;
        assert_eq!(answer.code(), (413, "payload_too_large"));
        let answer = harness
            .send("events", &[token, mode], " ".repeat(limit))
            .await;
        assert_eq!(answer.code(), (400, "malformed_json"));
    }
}
