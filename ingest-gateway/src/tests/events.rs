//! Single events, on Kafka and refused.

use std::time::Duration;

use platform::{
    auth::Role,
    http::{health::HealthStatus, problem::MEDIA_TYPE},
};
use schemas::{Event, EventKind, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::harness::{
    Harness, ME, ORGANIZATION, OTHER, TEAM, command, id, now_as_text, one_of_each, with,
};

const COMMANDS: EventKind = EventKind::CommandExecution;

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
async fn a_record_names_the_program_that_posted_it() {
    let harness = Harness::start().await;
    let bearer = format!("Bearer {}", harness.token(Role::Developer));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("user-agent", "hook/1.2 (linux)"),
    ];
    let one = command(json!({})).to_string();
    assert_eq!(harness.send("commands", &headers, one).await.status, 202);
    let many = json!({ "command_executions": [command(json!({})), command(json!({}))] });
    let many = many.to_string();
    assert_eq!(harness.send("batch", &headers, many).await.status, 202);
    let unnamed = command(json!({})).to_string();
    let answer = harness.send("commands", &headers[..2], unnamed).await;
    assert_eq!(answer.status, 202);

    let stored = harness.stored(COMMANDS).await;
    let clients: Vec<_> = stored.iter().map(|s| s.client.as_deref()).collect();
    let hook = Some("hook/1.2 (linux)");
    assert_eq!(clients, [hook, hook, hook, None]);
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
    assert_eq!(
        answer.faults(),
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
async fn what_is_no_json_event_is_refused() {
    let harness = Harness::start().await;
    let bearer = format!("Bearer {}", harness.token(Role::Developer));
    let token = ("authorization", bearer.as_str());
    let json = ("content-type", "application/json; charset=utf-8");
    let event = command(json!({})).to_string();
    for call in [
        "commands",
        "agents",
        "productivity",
        "sessions/start",
        "batch",
        "events",
    ] {
        let answer = harness.send(call, &[json], event.clone()).await;
        assert_eq!(answer.status, 401);
        let answer = harness.send(call, &[token], event.clone()).await;
        assert_eq!(answer.code(), (415, "unsupported_media_type"));
        let text = ("content-type", "text/plain");
        let answer = harness.send(call, &[token, text], event.clone()).await;
        assert_eq!(answer.code(), (415, "unsupported_media_type"));
        let gzip = ("content-encoding", "gzip");
        let answer = harness
            .send(call, &[token, json, gzip], event.clone())
            .await;
        assert_eq!(answer.code(), (400, "invalid_encoding"));
        let brotli = ("content-encoding", "br");
        let answer = harness
            .send(call, &[token, json, brotli], event.clone())
            .await;
        assert_eq!(answer.code(), (415, "unsupported_encoding"));
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

#[tokio::test]
async fn a_productivity_metric_is_on_its_topic() {
    let harness = Harness::start().await;
    let metric = json!({"user_id": ME, "metric_type": "error_rate", "metric_value": -0.5});
    let answer = harness.post("productivity", &metric).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("accepted"))
    );
    let stored = harness.stored(EventKind::ProductivityMetric).await;
    let Event::ProductivityMetric(stored) = &stored[0].event else {
        panic!("another kind");
    };
    assert_eq!(stored.event_id, id(&answer.body["event_id"]));
    assert_eq!((stored.metric_value, stored.user_id), (-0.5, Some(ME)));

    // Nobody's measure is not a developer's own; an administrator posts for the organization.
    let nobodys = json!({"metric_type": "error_rate", "metric_value": 1});
    let answer = harness.post("productivity", &nobodys).await;
    assert_eq!(answer.code(), (403, "not_as_itself"));
    let answer = harness
        .post_as(Role::Admin, "productivity", &[], &nobodys)
        .await;
    assert_eq!(answer.status, 202);
}
