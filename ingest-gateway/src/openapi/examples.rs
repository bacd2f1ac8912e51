//! Bodies that are accepted as they are. They name the user of `flowmeter serve`'s greeting
//! and no time, which would be too old one day; a test posts every one of them.

use schemas::EventKind;
use serde_json::{Value, json};

use crate::cloud_events::type_of;

const USER: &str = "01970000-0000-7000-8000-000000000002";
const TEAM: &str = "01970000-0000-7000-8000-00000000000a";
const PROJECT: &str = "01970000-0000-7000-8000-00000000000b";

fn with(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

pub(crate) fn command() -> Value {
    json!({"user_id": USER, "command_name": "build", "execution_time_ms": 1200, "status": "success"})
}

pub(crate) fn command_in_full() -> Value {
    let more = json!({
        "event_id": "01970000-0000-7000-8000-0000000000c1", "team_id": TEAM,
        "project_id": PROJECT, "status": "error", "command_args": {"target": "release", "jobs": 4},
        "error_message": "linking failed", "context": {"branch": "main"},
    });
    with(command(), more)
}

pub(crate) fn agent() -> Value {
    json!({
        "user_id": USER, "agent_name": "reviewer", "interaction_type": "review",
        "execution_time_ms": 5400, "status": "success",
    })
}

pub(crate) fn agent_in_full() -> Value {
    let more = json!({
        "event_id": "01970000-0000-7000-8000-0000000000a1", "team_id": TEAM,
        "project_id": PROJECT, "input_tokens": 1800, "output_tokens": 420, "cost_usd": "0.0123",
        "model": "large-1", "command_execution_id": "01970000-0000-7000-8000-0000000000c1",
        "metadata": {"files": 3},
    });
    with(agent(), more)
}

pub(crate) fn metric() -> Value {
    json!({"metric_type": "code_quality_score", "metric_value": 87.5})
}

pub(crate) fn metric_in_full() -> Value {
    let more = json!({
        "event_id": "01970000-0000-7000-8000-0000000000f1", "user_id": USER, "team_id": TEAM,
        "project_id": PROJECT, "metric_unit": "points", "dimensions": {"language": "rust"},
    });
    with(metric(), more)
}

pub(crate) fn session_start() -> Value {
    json!({"user_id": USER})
}

pub(crate) fn session_start_in_full() -> Value {
    json!({
        "event_id": "01970000-0000-7000-8000-0000000000e1", "user_id": USER, "team_id": TEAM,
        "project_id": PROJECT, "session_id": "editor-4711",
        "session_start": "2026-01-31T08:00:00Z", "context": {"editor": "vi"},
    })
}

pub(crate) fn session_progress() -> Value {
    json!({"user_id": USER, "commands_executed": 12, "agents_used": ["reviewer"]})
}

pub(crate) fn session_end() -> Value {
    json!({
        "user_id": USER, "session_start": "2026-01-31T08:00:00Z",
        "session_end": "2026-01-31T09:30:00+01:00", "duration_minutes": 30,
        "commands_executed": 40, "agents_used": ["reviewer", "writer"], "productivity_score": 80,
    })
}

pub(crate) fn batch() -> Value {
    json!({
        "batch_id": "night-7",
        "command_executions": [command(), command()],
        "agent_interactions": [agent()],
        "productivity_metrics": [metric()],
        "user_sessions": [with(session_progress(), json!({"session_id": "editor-4711", "kind": "updated"}))],
    })
}

fn cloud_event(kind: EventKind, id: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "https://ci.example.com/runner-3",
        "type": type_of(kind), "datacontenttype": "application/json", "data": data,
    })
}

pub(crate) fn cloud_event_command() -> Value {
    cloud_event(EventKind::CommandExecution, "4711", command())
}

pub(crate) fn cloud_event_extended() -> Value {
    let id = "01970000-0000-7000-8000-0000000000a2";
    let more = json!({"subject": "pull/12", "partitionkey": "runner-3"});
    with(cloud_event(EventKind::AgentInteraction, id, agent()), more)
}

pub(crate) fn cloud_events() -> Value {
    let session = json!({"user_id": USER, "session_id": "editor-4711", "kind": "ended"});
    json!([
        cloud_event(EventKind::ProductivityMetric, "4712", metric()),
        cloud_event(EventKind::UserSession, "4713", session),
    ])
}
