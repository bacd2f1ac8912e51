//! What is refused, and how: a table, a row for each way to be wrong. With
//! `cargo test -p ingest-gateway refusals -- --nocapture` it is printed as Markdown.

use std::time::Duration;

use axum::http::Method;
use chrono::TimeDelta;
use platform::auth::{Identity, Role, issue};
use serde_json::{Value, json};
use uuid::Uuid;

use super::harness::{
    Harness, ME, ORGANIZATION, OTHER, TEAM, command, now_as_text, one_of_each, with,
};

const JSON: &str = "application/json";
const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// A request, and its refusal.
struct Row {
    name: &'static str,
    method: Method,
    call: String,
    content_type: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// Where, if the refusal has to say it.
    pointer: Option<&'static str>,
    /// The code at that place.
    fault: &'static str,
}

impl Row {
    fn new(name: &'static str, call: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            name,
            method: Method::POST,
            call: call.to_owned(),
            content_type: Some(JSON),
            headers: Vec::new(),
            body: body.into(),
            status: 400,
            code: "invalid_event",
            pointer: None,
            fault: "",
        }
    }

    fn put(mut self) -> Self {
        self.method = Method::PUT;
        self
    }

    fn of(mut self, content_type: impl Into<Option<&'static str>>) -> Self {
        self.content_type = content_type.into();
        self
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn is(mut self, status: u16, code: &'static str) -> Self {
        (self.status, self.code) = (status, code);
        self
    }

    fn at(mut self, pointer: &'static str, fault: &'static str) -> Self {
        (self.pointer, self.fault) = (Some(pointer), fault);
        self
    }
}

/// An event with one field changed, refused at that field.
fn field(
    name: &'static str,
    call: &str,
    event: Value,
    (field, value): (&str, Value),
    (pointer, fault): (&'static str, &'static str),
) -> Row {
    let event = with(event, json!({ field: value }));
    Row::new(name, call, event.to_string()).at(pointer, fault)
}

fn sound(list: &str) -> Value {
    one_of_each()[list][0].take()
}

fn cloud_event(more: Value) -> Value {
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "/ci",
        "type": "com.flowmeter.command_execution.v1", "data": command(json!({})),
    });
    with(event, more)
}

fn malformed() -> Vec<Row> {
    let rows: [(&'static str, &[u8]); 8] = [
        ("empty body", b""),
        ("object not closed", br#"{"user_id":"#),
        ("two values", b"{} {}"),
        ("trailing comma", br#"{"a":1,}"#),
        ("single quotes", b"{'a':1}"),
        ("not UTF-8", b"\"\xff\""),
        ("a number that is none", br#"{"metric_value":NaN}"#),
        ("a byte order mark", b"\xef\xbb\xbf{}"),
    ];
    let rows = rows.map(|(name, body)| Row::new(name, "commands", body).is(400, "malformed_json"));
    rows.into()
}

fn shapes() -> Vec<Row> {
    vec![
        Row::new("an array, not an object", "commands", "[]").at("", "type"),
        Row::new("null, not an object", "agents", "null").at("", "type"),
        Row::new("no field at all", "commands", "{}").at("/user_id", "required"),
        Row::new(
            "a field twice",
            "commands",
            r#"{"status":"error","status":"success"}"#,
        )
        .at("/status", "duplicate_field"),
        field(
            "an unknown field",
            "commands",
            command(json!({})),
            ("colour", json!(1)),
            ("/colour", "unknown_field"),
        ),
        field(
            "an unknown field with a slash",
            "commands",
            command(json!({})),
            ("a/b", json!(1)),
            ("/a~1b", "unknown_field"),
        ),
        field(
            "a number for text",
            "commands",
            command(json!({})),
            ("command_name", json!(1)),
            ("/command_name", "type"),
        ),
        field(
            "text for a number",
            "commands",
            command(json!({})),
            ("execution_time_ms", json!("5")),
            ("/execution_time_ms", "type"),
        ),
        field(
            "a fraction for a whole number",
            "commands",
            command(json!({})),
            ("execution_time_ms", json!(1.5)),
            ("/execution_time_ms", "type"),
        ),
        Row::new(
            "half a surrogate pair",
            "commands",
            r#"{"command_name":"\ud800"}"#,
        )
        .at("/command_name", "type"),
    ]
}

fn bounds() -> Vec<Row> {
    let command = || command(json!({}));
    let agent = || sound("agent_interactions");
    let metric = || sound("productivity_metrics");
    let long = |count| json!("x".repeat(count));
    vec![
        field(
            "an empty name",
            "commands",
            command(),
            ("command_name", json!("")),
            ("/command_name", "length"),
        ),
        field(
            "a name of 256 characters",
            "commands",
            command(),
            ("command_name", long(256)),
            ("/command_name", "length"),
        ),
        field(
            "U+0000 in a name",
            "commands",
            command(),
            ("command_name", json!("a\0")),
            ("/command_name", "nul_character"),
        ),
        field(
            "less than no time",
            "commands",
            command(),
            ("execution_time_ms", json!(-1)),
            ("/execution_time_ms", "range"),
        ),
        field(
            "more than an hour",
            "commands",
            command(),
            ("execution_time_ms", json!(3_600_001)),
            ("/execution_time_ms", "range"),
        ),
        field(
            "an unknown status",
            "commands",
            command(),
            ("status", json!("fine")),
            ("/status", "choice"),
        ),
        field(
            "an error of 10,001 characters",
            "commands",
            command(),
            ("error_message", long(10_001)),
            ("/error_message", "length"),
        ),
        field(
            "a free object that is none",
            "commands",
            command(),
            ("context", json!([])),
            ("/context", "type"),
        ),
        field(
            "a free object 9 levels deep",
            "commands",
            command(),
            ("context", json!({"a":[[[[[[[[1]]]]]]]]})),
            ("/context/a/0/0/0/0/0/0/0", "too_deep"),
        ),
        field(
            "a free object above 16 KiB",
            "commands",
            command(),
            ("context", json!({"a": "x".repeat(16_384)})),
            ("/context", "too_large"),
        ),
        field(
            "an interaction type of 101 characters",
            "agents",
            agent(),
            ("interaction_type", long(101)),
            ("/interaction_type", "length"),
        ),
        field(
            "too many tokens",
            "agents",
            agent(),
            ("input_tokens", json!(1_000_000_001)),
            ("/input_tokens", "range"),
        ),
        field(
            "a negative cost",
            "agents",
            agent(),
            ("cost_usd", json!("-0.01")),
            ("/cost_usd", "range"),
        ),
        field(
            "a cost that is no number",
            "agents",
            agent(),
            ("cost_usd", json!("much")),
            ("/cost_usd", "type"),
        ),
        field(
            "an empty model",
            "agents",
            agent(),
            ("model", json!("")),
            ("/model", "length"),
        ),
        field(
            "a metric type with a capital",
            "productivity",
            metric(),
            ("metric_type", json!("Errors")),
            ("/metric_type", "pattern"),
        ),
        field(
            "a value above 1e18",
            "productivity",
            metric(),
            ("metric_value", json!(1.1e18)),
            ("/metric_value", "range"),
        ),
        field(
            "a unit of 51 characters",
            "productivity",
            metric(),
            ("metric_unit", long(51)),
            ("/metric_unit", "length"),
        ),
    ]
}

fn identities_and_times() -> Vec<Row> {
    let command = || command(json!({}));
    let ahead = json!(now_as_text(TimeDelta::minutes(6)));
    let old = json!(now_as_text(TimeDelta::days(-91)));
    vec![
        field(
            "another organization",
            "commands",
            command(),
            ("organization_id", json!(OTHER)),
            ("/organization_id", "organization"),
        ),
        field(
            "a user that is no UUID",
            "commands",
            command(),
            ("user_id", json!("me")),
            ("/user_id", "type"),
        ),
        field(
            "an event id that is no UUID",
            "commands",
            command(),
            ("event_id", json!(17)),
            ("/event_id", "type"),
        ),
        field(
            "a UUID a digit short",
            "commands",
            command(),
            ("team_id", json!("01970000-0000-7000-8000-00000000000")),
            ("/team_id", "type"),
        ),
        field(
            "six minutes ahead",
            "commands",
            command(),
            ("timestamp", ahead),
            ("/timestamp", "timestamp_in_future"),
        ),
        field(
            "older than the retention",
            "commands",
            command(),
            ("timestamp", old),
            ("/timestamp", "timestamp_too_old"),
        ),
        field(
            "a time without an offset",
            "commands",
            command(),
            ("timestamp", json!("2026-01-31T12:00:00")),
            ("/timestamp", "timestamp"),
        ),
        field(
            "a day that is none",
            "commands",
            command(),
            ("timestamp", json!("2026-02-30T12:00:00Z")),
            ("/timestamp", "timestamp"),
        ),
        field(
            "a time in milliseconds",
            "commands",
            command(),
            ("timestamp", json!(1_769_860_800_000_i64)),
            ("/timestamp", "type"),
        ),
    ]
}

fn transport() -> Vec<Row> {
    let event = || command(json!({})).to_string();
    vec![
        Row::new("no media type", "commands", event())
            .of(None)
            .is(415, "unsupported_media_type"),
        Row::new("text/plain", "commands", event())
            .of("text/plain")
            .is(415, "unsupported_media_type"),
        Row::new("a form", "batch", "a=1")
            .of("application/x-www-form-urlencoded")
            .is(415, "unsupported_media_type"),
        Row::new("a CloudEvent where none is taken", "commands", event())
            .of(CLOUD_EVENT)
            .is(415, "unsupported_media_type"),
        Row::new("CloudEvents in Avro", "events", event())
            .of("application/cloudevents+avro")
            .is(415, "unsupported_media_type"),
        Row::new("more than 1 MiB", "commands", vec![b' '; (1 << 20) + 1])
            .is(413, "payload_too_large"),
        Row::new("more than 10 MiB", "batch", vec![b' '; (10 << 20) + 1])
            .is(413, "payload_too_large"),
        Row::new("a key of 256 characters", "commands", event())
            .with("idempotency-key", "k".repeat(256))
            .is(400, "invalid_idempotency_key"),
        Row::new("an empty key", "commands", event())
            .with("idempotency-key", "")
            .is(400, "invalid_idempotency_key"),
        Row::new("two keys", "sessions/start", "{}")
            .with("idempotency-key", "a")
            .with("idempotency-key", "b")
            .is(400, "invalid_idempotency_key"),
    ]
}

fn batches() -> Vec<Row> {
    let envelope = |body: Value| body.to_string();
    vec![
        Row::new("an empty batch", "batch", "{}")
            .is(400, "invalid_batch")
            .at("", "empty_batch"),
        Row::new("a batch that is an array", "batch", "[]")
            .is(400, "invalid_batch")
            .at("", "type"),
        Row::new("an unknown list", "batch", r#"{"events":[]}"#)
            .is(400, "invalid_batch")
            .at("/events", "unknown_field"),
        Row::new("a list that is none", "batch", r#"{"user_sessions":{}}"#)
            .is(400, "invalid_batch")
            .at("/user_sessions", "type"),
        Row::new(
            "a list twice",
            "batch",
            r#"{"user_sessions":[1],"user_sessions":[1]}"#,
        )
        .is(400, "invalid_batch")
        .at("/user_sessions", "duplicate_field"),
        Row::new(
            "a batch's time that is none",
            "batch",
            r#"{"user_sessions":[1],"timestamp":"noon"}"#,
        )
        .is(400, "invalid_batch")
        .at("/timestamp", "timestamp"),
        Row::new(
            "a batch_id of 256 characters",
            "batch",
            envelope(json!({"user_sessions": [1], "batch_id": "x".repeat(256)})),
        )
        .is(400, "invalid_batch")
        .at("/batch_id", "length"),
        Row::new(
            "two different keys",
            "batch",
            envelope(with(one_of_each(), json!({"batch_id": "a"}))),
        )
        .with("idempotency-key", "b")
        .is(400, "idempotency_key_conflict"),
        Row::new(
            "1001 events",
            "batch",
            envelope(json!({"user_sessions": vec![1; 1001]})),
        )
        .is(413, "batch_too_large"),
        Row::new("no sound event", "batch", r#"{"user_sessions":[{}]}"#)
            .is(400, "no_event_accepted"),
        Row::new(
            "an event above 1 MiB",
            "batch",
            envelope(json!({"user_sessions": ["x".repeat(1 << 20)]})),
        )
        .is(400, "no_event_accepted"),
    ]
}

fn sessions() -> Vec<Row> {
    let session = || json!({"user_id": ME});
    let put = "sessions/s-1";
    let start = "sessions/start";
    vec![
        field(
            "a start with a kind",
            start,
            session(),
            ("kind", json!("started")),
            ("/kind", "unknown_field"),
        ),
        field(
            "a session id of 256 characters",
            start,
            session(),
            ("session_id", json!("x".repeat(256))),
            ("/session_id", "length"),
        ),
        field(
            "an end before the start",
            start,
            with(session(), json!({"session_start": "2026-01-31T12:00:00Z"})),
            ("session_end", json!("2026-01-31T11:00:00Z")),
            ("/session_end", "order"),
        ),
        field(
            "an update that starts",
            put,
            session(),
            ("kind", json!("started")),
            ("/kind", "choice"),
        )
        .put(),
        field(
            "an update of another session",
            put,
            session(),
            ("session_id", json!("s-2")),
            ("/session_id", "session_id_mismatch"),
        )
        .put(),
        field(
            "more than a day",
            put,
            session(),
            ("duration_minutes", json!(1440.5)),
            ("/duration_minutes", "range"),
        )
        .put(),
        field(
            "less than no commands",
            put,
            session(),
            ("commands_executed", json!(-1)),
            ("/commands_executed", "range"),
        )
        .put(),
        field(
            "an agent without a name",
            put,
            session(),
            ("agents_used", json!(["a", ""])),
            ("/agents_used/1", "length"),
        )
        .put(),
        field(
            "1001 agents",
            put,
            session(),
            ("agents_used", json!(vec!["a"; 1001])),
            ("/agents_used", "length"),
        )
        .put(),
        field(
            "a score above 100",
            put,
            session(),
            ("productivity_score", json!(100.1)),
            ("/productivity_score", "range"),
        )
        .put(),
        Row::new(
            "U+0000 in the address",
            "sessions/a%00b",
            session().to_string(),
        )
        .put()
        .at("/session_id", "nul_character"),
        Row::new(
            "an address that is no text",
            "sessions/%ff",
            session().to_string(),
        )
        .put()
        .is(400, "invalid_path"),
    ]
}

fn cloud_events() -> Vec<Row> {
    let one = |name, attribute, value, at| {
        field(
            name,
            "events",
            cloud_event(json!({})),
            (attribute, value),
            at,
        )
        .of(CLOUD_EVENT)
    };
    let data = |more| command(more);
    vec![
        one(
            "another CloudEvents version",
            "specversion",
            json!("0.3"),
            ("/specversion", "choice"),
        ),
        one("an empty id", "id", json!(""), ("/id", "pattern")),
        one("no id", "id", json!(null), ("/id", "required")),
        one(
            "a source with a space",
            "source",
            json!("a b"),
            ("/source", "pattern"),
        ),
        one(
            "a type of somebody else",
            "type",
            json!("com.example.v1"),
            ("/type", "choice"),
        ),
        one(
            "a time that is none",
            "time",
            json!("noon"),
            ("/time", "timestamp"),
        ),
        one(
            "data that is no JSON",
            "datacontenttype",
            json!("text/xml"),
            ("/datacontenttype", "choice"),
        ),
        one(
            "data in Base64",
            "data_base64",
            json!("e30="),
            ("/data_base64", "data_base64"),
        ),
        one(
            "an extension with a capital",
            "traceParent",
            json!("x"),
            ("/traceParent", "unknown_field"),
        ),
        one("no data", "data", json!(null), ("/data", "required")),
        one(
            "data with a fault",
            "data",
            data(json!({"status": "fine"})),
            ("/data/status", "choice"),
        ),
        one(
            "data with another event id",
            "data",
            data(json!({"event_id": Uuid::from_u128(5)})),
            ("/data/event_id", "event_id_mismatch"),
        ),
        Row::new(
            "a batch that is an object",
            "events",
            cloud_event(json!({})).to_string(),
        )
        .of(CLOUD_EVENTS)
        .is(400, "invalid_batch")
        .at("", "type"),
        Row::new("a batch without a sound one", "events", "[{}]")
            .of(CLOUD_EVENTS)
            .is(400, "no_event_accepted"),
        Row::new(
            "headers without ce-id",
            "events",
            command(json!({})).to_string(),
        )
        .with("ce-specversion", "1.0")
        .with("ce-source", "/ci")
        .with("ce-type", "com.flowmeter.command_execution.v1")
        .at("/id", "required"),
        Row::new(
            "a header that is no UTF-8",
            "events",
            command(json!({})).to_string(),
        )
        .with("ce-id", "%C0%A0")
        .at("/id", "type"),
        Row::new("a header twice", "events", command(json!({})).to_string())
            .with("ce-id", "1")
            .with("ce-id", "2")
            .at("/id", "duplicate_field"),
    ]
}

fn callers(harness: &Harness) -> Vec<Row> {
    let event = || command(json!({})).to_string();
    let of = |user_id, team_id: Option<Uuid>| {
        command(json!({"user_id": user_id, "team_id": team_id})).to_string()
    };
    let bearer = |role| format!("Bearer {}", harness.token(role));
    let past = Identity {
        user_id: ME,
        organization_id: ORGANIZATION,
        role: Role::Admin,
        team_ids: None,
    };
    let elsewhere = platform::config::JwtConfig::from_env(&mut platform::config::Env::from_pairs(
        [("JWT_SECRET", "another secret, another secret, another")],
    ));
    let forged = issue(&elsewhere, &past, Duration::from_secs(60)).unwrap();
    let auth = "authorization";
    vec![
        Row::new("no token", "commands", event())
            .with(auth, "-")
            .is(401, "token_missing"),
        Row::new("another scheme", "commands", event())
            .with(auth, "Basic dTpw")
            .is(401, "token_missing"),
        Row::new("a token that is none", "events", event())
            .with(auth, "Bearer a.b.c")
            .is(401, "token_invalid"),
        Row::new("a token of another secret", "batch", event())
            .with(auth, format!("Bearer {forged}"))
            .is(401, "token_invalid"),
        Row::new("a viewer posts", "commands", event())
            .with(auth, bearer(Role::Viewer))
            .is(403, "role_not_allowed"),
        Row::new("a viewer starts a session", "sessions/start", event())
            .with(auth, bearer(Role::Viewer))
            .is(403, "role_not_allowed"),
        Row::new("a developer posts for another", "commands", of(OTHER, None))
            .is(403, "not_as_itself"),
        Row::new(
            "a developer posts for a foreign team",
            "commands",
            of(ME, Some(Uuid::from_u128(99))),
        )
        .is(403, "not_your_team"),
        Row::new(
            "a developer posts nobody's metric",
            "productivity",
            r#"{"metric_type":"a","metric_value":1}"#,
        )
        .is(403, "not_as_itself"),
        Row::new(
            "a manager posts for another's team",
            "commands",
            of(OTHER, Some(Uuid::from_u128(99))),
        )
        .with(auth, bearer(Role::Manager))
        .is(403, "not_your_team"),
        Row::new("a token in the address", "commands?access_token=x", event())
            .with(auth, "-")
            .is(401, "token_missing"),
        Row::new("another method", "commands", event())
            .put()
            .is(405, "method_not_allowed"),
        Row::new("another address", "nothing", event()).is(404, "not_found"),
    ]
}

async fn found(harness: &Harness, row: &Row) -> Result<(), String> {
    let own = format!("Bearer {}", harness.token(Role::Developer));
    let mut headers: Vec<(&str, &str)> =
        row.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        headers.push(("authorization", &own));
    }
    headers.retain(|(_, value)| *value != "-");
    headers.extend(row.content_type.map(|value| ("content-type", value)));
    let answer = harness
        .request(row.method.clone(), &row.call, &headers, row.body.clone())
        .await;
    let told = answer.faults();
    let place = row.pointer.map(|at| (at, row.fault));
    if answer.code() != (row.status, row.code) {
        return Err(format!("answered with {:?} {}", answer.code(), answer.body));
    }
    if place.is_some_and(|place| !told.contains(&place)) {
        return Err(format!("{place:?} is not among {told:?}"));
    }
    if answer.headers["content-type"] != platform::http::problem::MEDIA_TYPE {
        return Err("is no problem document".to_owned());
    }
    Ok(())
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the table is for people")]
async fn what_is_wrong_is_refused_with_its_place_and_reason() {
    let harness = Harness::start().await;
    let groups = [
        malformed(),
        shapes(),
        bounds(),
        identities_and_times(),
        transport(),
        batches(),
        sessions(),
        cloud_events(),
        callers(&harness),
    ];
    let rows: Vec<Row> = groups.into_iter().flatten().collect();
    assert!(rows.len() >= 45, "{}", rows.len());
    println!("| what is wrong | call | status | code | at |\n|---|---|---|---|---|");
    let mut failures = Vec::new();
    for row in &rows {
        let at = match row.pointer {
            Some("") => format!("the root: `{}`", row.fault),
            Some(at) => format!("`{at}`: `{}`", row.fault),
            None => String::new(),
        };
        let (name, method, call) = (row.name, &row.method, &row.call);
        println!(
            "| {name} | `{method} /{call}` | {} | `{}` | {at} |",
            row.status, row.code
        );
        if let Err(why) = found(&harness, row).await {
            failures.push(format!("{name} ({method} {call}): {why}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n")
    );
    for kind in schemas::EventKind::ALL {
        assert!(
            harness.stored(kind).await.is_empty(),
            "{kind}: refused, and yet stored"
        );
    }
    let sound = with(command(json!({})), json!({"team_id": TEAM}));
    assert_eq!(harness.post("commands", &sound).await.status, 202);
}
