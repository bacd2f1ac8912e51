use super::*;
use crate::free_object::FreeObject;

const ORGANIZATION: Uuid = Uuid::from_u128(7);

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn context() -> ValidationContext {
    ValidationContext {
        record_time: time("2026-03-01T00:00:00Z"),
        retention_seconds: 90 * 86_400,
    }
}

fn read(kind: EventKind, json: &str) -> Result<Event, Vec<(String, &'static str)>> {
    let defaults = JsonDefaults {
        organization_id: ORGANIZATION,
        event_id: Uuid::from_u128(1),
        timestamp: context().record_time,
    };
    Event::from_json(
        kind,
        serde_json::from_str(json).unwrap(),
        &defaults,
        &context(),
    )
    .map_err(|faults| faults.into_iter().map(|f| (f.pointer, f.code)).collect())
}

fn faults(kind: EventKind, json: &str) -> Vec<(String, &'static str)> {
    let mut faults = read(kind, json).unwrap_err();
    faults.sort();
    faults
}

fn sorted(expected: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    let mut all: Vec<_> = expected
        .iter()
        .map(|(p, c)| ((*p).to_owned(), *c))
        .collect();
    all.sort();
    all
}

const USER: &str = "\"user_id\":\"00000000-0000-0000-0000-000000000002\"";

#[test]
fn a_small_event_gets_its_defaults() {
    let json =
        format!(r#"{{{USER},"command_name":"build","execution_time_ms":5,"status":"success"}}"#);
    let event = read(EventKind::CommandExecution, &json).unwrap();
    let common = event.common();
    assert_eq!(common.event_id, Uuid::from_u128(1));
    assert_eq!(common.organization_id, ORGANIZATION);
    assert_eq!(common.timestamp, context().record_time);
    assert_eq!(
        event.key(),
        "00000000-0000-0000-0000-000000000007:00000000-0000-0000-0000-000000000002"
    );
}

#[test]
fn an_event_knows_its_key_and_no_other() {
    let rest = r#""metric_type":"a","metric_value":1"#;
    for json in [format!("{{{rest}}}"), format!("{{{USER},{rest}}}")] {
        let event = read(EventKind::ProductivityMetric, &json).unwrap();
        let key = event.key();
        assert!(event.has_key(key.as_bytes()));
        let [short, long] = [&key[..key.len() - 1], &format!("{key}0")];
        let none = [
            "",
            ":",
            short,
            long,
            &key.to_uppercase(),
            &key.replace('7', "8"),
        ];
        for other in none.into_iter().filter(|other| *other != key) {
            assert!(!event.has_key(other.as_bytes()), "{other}");
        }
    }
}

#[test]
fn an_empty_event_lacks_every_required_field() {
    let required = |kind, names: &[&'static str]| {
        let expected: Vec<_> = names.iter().map(|n| (*n, "required")).collect();
        assert_eq!(faults(kind, "{}"), sorted(&expected), "{kind}");
    };
    required(
        EventKind::CommandExecution,
        &["/user_id", "/command_name", "/execution_time_ms", "/status"],
    );
    required(
        EventKind::AgentInteraction,
        &[
            "/user_id",
            "/agent_name",
            "/interaction_type",
            "/execution_time_ms",
            "/status",
        ],
    );
    required(
        EventKind::ProductivityMetric,
        &["/metric_type", "/metric_value"],
    );
    required(
        EventKind::UserSession,
        &["/user_id", "/session_id", "/kind"],
    );
}

#[test]
fn all_faults_of_a_command_come_together() {
    let json = format!(
        r#"{{"user_id":"me","organization_id":"{}","timestamp":"2026-03-01T00:05:00.000001Z",
        "command_name":"","execution_time_ms":3600001,"status":"done","command_args":[],
        "error_message":"{}","context":{{"a":"\u0000"}},"colour":"red"}}"#,
        Uuid::nil(),
        "x".repeat(10_001),
    );
    assert_eq!(
        faults(EventKind::CommandExecution, &json),
        sorted(&[
            ("/user_id", "type"),
            ("/organization_id", "organization"),
            ("/timestamp", "timestamp_in_future"),
            ("/command_name", "length"),
            ("/execution_time_ms", "range"),
            ("/status", "choice"),
            ("/command_args", "type"),
            ("/error_message", "length"),
            ("/context/a", "nul_character"),
            ("/colour", "unknown_field"),
        ])
    );
}

#[test]
fn all_faults_of_an_agent_interaction_come_together() {
    let json = format!(
        r#"{{{USER},"agent_name":"{}","interaction_type":"a\u0000b","execution_time_ms":1.5,"status":"error",
        "input_tokens":-1,"output_tokens":1000000001,"cost_usd":-0.01,"model":"",
        "command_execution_id":"x","timestamp":"2025-11-30T23:59:59Z"}}"#,
        "é".repeat(256)
    );
    assert_eq!(
        faults(EventKind::AgentInteraction, &json),
        sorted(&[
            ("/agent_name", "length"),
            ("/interaction_type", "nul_character"),
            ("/execution_time_ms", "type"),
            ("/input_tokens", "range"),
            ("/output_tokens", "range"),
            ("/cost_usd", "range"),
            ("/model", "length"),
            ("/command_execution_id", "type"),
            ("/timestamp", "timestamp_too_old"),
        ])
    );
}

#[test]
fn limits_themselves_are_allowed() {
    let json = format!(
        r#"{{{USER},"agent_name":"{}","interaction_type":"chat","execution_time_ms":3600000,"status":"cancelled",
        "input_tokens":1000000000,"output_tokens":0,"cost_usd":"1000000000","timestamp":"2025-12-01T00:00:00Z",
        "organization_id":"{ORGANIZATION}","model":null}}"#,
        "é".repeat(255)
    );
    let Event::AgentInteraction(event) = read(EventKind::AgentInteraction, &json).unwrap() else {
        panic!("another kind");
    };
    assert_eq!(event.cost_usd, Some(crate::Usd::EVENT_MAX));
    assert_eq!(event.model, None);
}

#[test]
fn metrics_and_sessions_have_rules_of_their_own() {
    for (json, at, code) in [
        (
            r#"{"metric_type":"Bad-Name","metric_value":1}"#,
            "/metric_type",
            "pattern",
        ),
        (
            r#"{"metric_type":"","metric_value":1}"#,
            "/metric_type",
            "length",
        ),
        (
            r#"{"metric_type":"a","metric_value":1e19}"#,
            "/metric_value",
            "range",
        ),
        (
            r#"{"metric_type":"a","metric_value":1e999}"#,
            "/metric_value",
            "type",
        ),
        (
            r#"{"metric_type":"a","metric_value":"1"}"#,
            "/metric_value",
            "type",
        ),
    ] {
        assert_eq!(
            faults(EventKind::ProductivityMetric, json),
            sorted(&[(at, code)]),
            "{json}"
        );
    }
    let session = |more: &str| format!(r#"{{{USER},"session_id":"s","kind":"ended",{more}}}"#);
    for (more, at, code) in [
        (
            r#""session_start":"2026-01-02T00:00:00Z","session_end":"2026-01-01T00:00:00Z""#,
            "/session_end",
            "order",
        ),
        (r#""duration_minutes":1440.1"#, "/duration_minutes", "range"),
        (r#""commands_executed":-1"#, "/commands_executed", "range"),
        (r#""agents_used":["a",""]"#, "/agents_used/1", "length"),
        (r#""agents_used":[1]"#, "/agents_used", "type"),
        (
            r#""productivity_score":101"#,
            "/productivity_score",
            "range",
        ),
    ] {
        assert_eq!(
            faults(EventKind::UserSession, &session(more)),
            sorted(&[(at, code)]),
            "{more}"
        );
    }
    let minus_zero = read(
        EventKind::ProductivityMetric,
        r#"{"metric_type":"a.b_1","metric_value":-0.0}"#,
    );
    let Event::ProductivityMetric(metric) = minus_zero.unwrap() else {
        panic!("another kind");
    };
    assert!(metric.metric_value.is_sign_positive());
}

#[test]
fn a_record_is_judged_like_a_posted_event() {
    let json = format!(
        r#"{{{USER},"command_name":"build","execution_time_ms":5,"status":"success","context":{{ "a": 1 }}}}"#
    );
    let posted = read(EventKind::CommandExecution, &json).unwrap();
    assert_eq!(posted.clone().validate(&context()), Ok(posted.clone()));
    let Event::CommandExecution(mut foreign) = posted else {
        panic!("another kind");
    };
    foreign.execution_time_ms = -1;
    foreign.context = Some(FreeObject::unchecked("not JSON"));
    let found = Event::CommandExecution(foreign)
        .validate(&context())
        .unwrap_err();
    let found: Vec<_> = found.iter().map(|f| (f.pointer.as_str(), f.code)).collect();
    assert_eq!(
        found,
        [("/execution_time_ms", "range"), ("/context", "not_json")]
    );
}
