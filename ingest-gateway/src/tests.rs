//! The gateway on a real Kafka and a real registry.

mod harness;
mod hostile_bodies;
mod idempotency;
mod receipts;

use std::time::{Duration, Instant};

use platform::{
    auth::Role,
    http::{health::HealthStatus, problem::MEDIA_TYPE},
};
use schemas::{Event, EventKind, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use self::harness::{Harness, ME, ORGANIZATION, OTHER, TEAM, command, id, one_of_each, with};

const COMMANDS: EventKind = EventKind::CommandExecution;

fn now_as_text(ahead: chrono::TimeDelta) -> String {
    let at = Timestamp::try_from(chrono::Utc::now() + ahead).unwrap();
    at.to_string()
}

#[tokio::test]
async fn an_accepted_event_is_on_its_topic() {
    let harness = Harness::start().await;
    let event = command(json!({
        "team_id": TEAM, "command_args": {"jobs": 4, "__proto__": 1}, "organization_id": ORGANIZATION,
    }));
    let before = Timestamp::try_from(chrono::Utc::now()).unwrap();
    let answer = harness.post("commands", &event).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("accepted"))
    );
    let event_id = id(&answer.body["event_id"]);
    assert_eq!(event_id.get_version_num(), 7);

    let stored = harness.stored(COMMANDS).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].key, format!("{ORGANIZATION}:{ME}"));
    let Event::CommandExecution(stored) = &stored[0].event else {
        panic!("another kind");
    };
    assert_eq!((stored.event_id, stored.team_id), (event_id, Some(TEAM)));
    assert_eq!(stored.organization_id, ORGANIZATION);
    assert_eq!(
        stored.command_args.as_ref().unwrap().as_str(),
        r#"{"jobs":4}"#
    );
    let after = Timestamp::try_from(chrono::Utc::now()).unwrap();
    assert!((before..=after).contains(&stored.timestamp));

    let own = Uuid::from_u128(4711);
    let interaction = with(
        one_of_each()["agent_interactions"][0].take(),
        json!({ "event_id": own }),
    );
    let answer = harness.post("agents", &interaction).await;
    assert_eq!((answer.status, id(&answer.body["event_id"])), (202, own));
    let stored = harness.stored(EventKind::AgentInteraction).await;
    assert_eq!(stored[0].event.common().event_id, own);

    assert_eq!(harness.health.report().await.status, HealthStatus::Ok);
    assert!(harness.gateway.drain(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn all_faults_of_an_event_are_told_at_once() {
    let harness = Harness::start().await;
    let event = json!({
        "user_id": ME, "execution_time_ms": -1, "status": "fine", "extra": 1,
        "organization_id": OTHER, "timestamp": now_as_text(chrono::TimeDelta::minutes(6)),
    });
    let answer = harness.post("commands", &event).await;
    assert_eq!(answer.code(), (400, "invalid_event"));
    assert_eq!(answer.headers["content-type"], MEDIA_TYPE);
    let mut found: Vec<_> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("/command_name", "required"),
            ("/execution_time_ms", "range"),
            ("/extra", "unknown_field"),
            ("/organization_id", "organization"),
            ("/status", "choice"),
            ("/timestamp", "timestamp_in_future"),
        ]
    );
    assert!(harness.stored(COMMANDS).await.is_empty());
}

#[tokio::test]
async fn a_batch_holds_all_kinds_and_is_judged_by_event() {
    let harness = Harness::start().await;
    let at = now_as_text(chrono::TimeDelta::hours(-3));
    let batch = with(one_of_each(), json!({ "timestamp": at }));
    let answer = harness.post("batch", &batch).await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        (&answer.body["accepted"], &answer.body["rejected"]),
        (&json!(4), &json!(0))
    );
    for (kind, event_id) in EventKind::ALL.into_iter().zip(answer.ids()) {
        let stored = harness.stored(kind).await;
        assert_eq!(stored.len(), 1);
        let common = stored[0].event.common();
        assert_eq!(common.event_id, event_id);
        assert_eq!(common.timestamp.to_string(), at);
    }

    let own = Uuid::from_u128(99);
    let batch = json!({
        "command_executions": [
            command(json!({"command_name": "one"})),
            command(json!({"command_name": ""})),
            command(json!({"command_name": "two", "event_id": own})),
            command(json!({"command_name": "again", "event_id": own})),
        ],
        "user_sessions": ["no object"],
    });
    let answer = harness.post("batch", &batch).await;
    assert_eq!(answer.status, 207);
    let (accepted, invalid) = (("accepted", ""), ("rejected", "invalid_event"));
    let twice = ("rejected", "duplicate_event_id");
    assert_eq!(
        answer.results(),
        [accepted, invalid, accepted, twice, invalid]
    );
    let results = &answer.body["results"];
    assert_eq!(results[1]["errors"][0]["pointer"], "/command_name");
    assert_eq!(results[4]["kind"], "user_session");
    assert_eq!(
        (&results[4]["index"], &results[4]["event_id"]),
        (&json!(0), &Value::Null)
    );
    let names: Vec<_> = harness
        .stored(COMMANDS)
        .await
        .into_iter()
        .map(|stored| match stored.event {
            Event::CommandExecution(command) => command.command_name,
            _ => panic!("another kind"),
        })
        .collect();
    assert_eq!(
        names,
        ["build", "one", "two"],
        "one user's events keep their order"
    );

    let none = json!({"command_executions": [{}, 1]});
    let answer = harness.post("batch", &none).await;
    assert_eq!(answer.code(), (400, "no_event_accepted"));
    assert_eq!(answer.results(), [invalid, invalid]);
    for (batch, pointer, code) in [
        (json!({}), "", "empty_batch"),
        (json!({"events": []}), "/events", "unknown_field"),
    ] {
        let answer = harness.post("batch", &batch).await;
        assert_eq!(answer.code(), (400, "invalid_batch"));
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
        assert_eq!(answer.body["errors"][0]["code"], code);
    }
}

#[tokio::test]
async fn a_full_batch_is_accepted_whole_and_one_more_event_is_too_many() {
    let harness = Harness::start().await;
    let many = |count| json!({"command_executions": vec![command(json!({})); count]});
    let answer = harness.post("batch", &many(1000)).await;
    assert_eq!(
        (answer.status, &answer.body["accepted"]),
        (202, &json!(1000))
    );
    assert_eq!(harness.stored(COMMANDS).await.len(), 1000);
    let answer = harness.post("batch", &many(1001)).await;
    assert_eq!(answer.code(), (413, "batch_too_large"));
}

#[tokio::test]
async fn a_retried_request_gives_the_same_ids() {
    let harness = Harness::start().await;
    let developer = Role::Developer;
    let batch = with(one_of_each(), json!({"batch_id": "night-7"}));
    let first = harness.post("batch", &batch).await;
    let again = harness.post("batch", &batch).await;
    let key = [("idempotency-key", "night-7")];
    let by_header = harness
        .post_as(developer, "batch", &key, &one_of_each())
        .await;
    let by_both = harness.post_as(developer, "batch", &key, &batch).await;
    // Another body: a retry is sent as it was.
    assert_eq!(by_header.code(), (422, "idempotency_key_reused"));
    for answer in [&first, &again, &by_both] {
        assert_eq!(answer.status, 202);
        assert_eq!(answer.ids(), first.ids());
    }
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
async fn a_role_posts_for_whom_it_may() {
    let harness = Harness::start().await;
    let mine = command(json!({}));
    let others = command(json!({"user_id": OTHER}));
    let of_my_team = command(json!({"user_id": OTHER, "team_id": TEAM}));
    let ok = (202, "");
    for (role, expected) in [
        (Role::Viewer, [(403, "role_not_allowed"); 3]),
        (
            Role::Developer,
            [ok, (403, "not_as_itself"), (403, "not_as_itself")],
        ),
        (Role::Manager, [ok, (403, "not_your_team"), ok]),
        (Role::Admin, [ok, ok, ok]),
    ] {
        let events = [&mine, &others, &of_my_team];
        for (event, expected) in events.into_iter().zip(expected) {
            let answer = harness.post_as(role, "commands", &[], event).await;
            assert_eq!(answer.code(), expected, "{role} {event}");
        }
        let batch = json!({"command_executions": [mine, others, of_my_team]});
        let answer = harness.post_as(role, "batch", &[], &batch).await;
        if role == Role::Viewer {
            assert_eq!(answer.code(), (403, "role_not_allowed"));
            continue;
        }
        let codes: Vec<_> = answer.results().into_iter().map(|(_, code)| code).collect();
        assert_eq!(codes, expected.map(|(_, code)| code), "{role}");
    }
}

#[tokio::test]
async fn what_is_no_json_event_is_refused() {
    let harness = Harness::start().await;
    let bearer = format!("Bearer {}", harness.token(Role::Developer));
    let token = ("authorization", bearer.as_str());
    let json = ("content-type", "application/json; charset=utf-8");
    let event = command(json!({})).to_string();
    for call in ["commands", "agents", "batch"] {
        let answer = harness.send(call, &[json], event.clone()).await;
        assert_eq!(answer.status, 401);
        let answer = harness.send(call, &[token], event.clone()).await;
        assert_eq!(answer.code(), (415, "unsupported_media_type"));
        let text = ("content-type", "text/plain");
        let answer = harness.send(call, &[token, text], event.clone()).await;
        assert_eq!(answer.code(), (415, "unsupported_media_type"));
        for body in [&b""[..], b"{", b"{} {}", b"\"\xff\""] {
            let answer = harness.send(call, &[token, json], body.to_vec()).await;
            assert_eq!(answer.code(), (400, "malformed_json"));
        }
        let limit = if call == "batch" { 10 << 20 } else { 1 << 20 };
        let answer = harness
            .send(call, &[token, json], " ".repeat(limit + 1))
            .await;
        assert_eq!(answer.code(), (413, "payload_too_large"));
        let answer = harness.send(call, &[token, json], " ".repeat(limit)).await;
        assert_eq!(answer.code(), (400, "malformed_json"));
    }
    let answer = harness.send("commands", &[token, json], event).await;
    assert_eq!(answer.status, 202);
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

#[tokio::test]
async fn events_are_counted() {
    let metrics = platform::telemetry::metrics::install().unwrap();
    let harness = Harness::start().await;
    let batch = json!({"user_sessions": [
        {"user_id": ME, "session_id": "s", "kind": "ended"},
        {"user_id": OTHER, "session_id": "s", "kind": "ended"},
    ]});
    assert_eq!(harness.post("batch", &batch).await.status, 207);
    let text = metrics.render();
    for line in [
        r#"flowmeter_events_accepted_total{kind="user_session"}"#,
        r#"flowmeter_events_refused_total{kind="user_session",code="not_as_itself"}"#,
        r#"flowmeter_publish_duration_seconds_bucket{kind="user_session""#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
