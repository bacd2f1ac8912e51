//! The bodies of answers, as documented.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use platform::http::problem::{FieldError, ProblemBody as Problem};

use crate::receipts::{Accepted, Place};

/// The event, or the request, has faults: `code` is `invalid_event`, `malformed_json`,
/// `invalid_idempotency_key`, `invalid_path` or `incomplete_body`.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct BadEvent {
    #[serde(flatten)]
    problem: Problem,
    /// All faults of an invalid event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
}

/// The event could not be confirmed as stored: `code` is `broker_unavailable`, `queue_full`,
/// `overloaded`, `timeout` or `keys_unavailable`.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct Unavailable {
    #[serde(flatten)]
    problem: Problem,
    /// Send the event again with this id: then it cannot count twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_id: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "documentation")]
pub(crate) enum EventKind {
    CommandExecution,
    AgentInteraction,
    ProductivityMetric,
    UserSession,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "documentation")]
pub(crate) enum ResultStatus {
    /// The log has it.
    Accepted,
    /// Waited for: the database has it.
    Stored,
    /// Waited for: it was accepted, and admission refused it. It never counts.
    DeadLettered,
    /// It is nowhere.
    Rejected,
}

/// What came of one event.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct EventResult {
    /// The event's place in the list of its kind; of a CloudEvent, in the array.
    index: u32,
    /// Null for a CloudEvent whose `type` is none of ours.
    #[schema(required)]
    kind: Option<EventKind>,
    /// The event's id; null for a rejected event that has no readable one.
    #[schema(required)]
    event_id: Option<Uuid>,
    status: ResultStatus,
    /// Unless rejected: where the log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    offset: Option<i64>,
    /// Of an event that was stored before: where the record is that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duplicate_of: Option<Place>,
    /// Of a dead letter: why, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Of a dead letter: why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// Of a dead letter: which part of Flowmeter refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stage: Option<String>,
    /// Of a rejected event or dead letter: what it would have been answered with alone. 503:
    /// send it again later, with this `event_id`; any other: mend it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    http_status: Option<u16>,
    /// Likewise: why, for programs. `invalid_event`, `duplicate_event_id`, `dead_lettered`,
    /// `event_too_large`, `not_as_itself`, `not_your_team`, `broker_unavailable`,
    /// `queue_full` or `internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
    /// Of a rejected event, at least one, with pointers from the event's root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
}

/// What came of a batch. The results are in the order `command_executions`,
/// `agent_interactions`, `productivity_metrics`, `user_sessions`, and within each as sent.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct BatchAnswer {
    /// What the log has; `stored` and `dead_lettered` are among these.
    accepted: u32,
    /// What is nowhere.
    rejected: u32,
    /// What was seen in the database while it was waited for.
    stored: u32,
    /// What was seen among the dead letters while it was waited for.
    dead_lettered: u32,
    results: Vec<EventResult>,
}

/// Nothing was accepted. `code` is `no_event_accepted`, with a result for every event; or,
/// without results, `invalid_batch` (with `errors`), `malformed_json`, `incomplete_body`,
/// `invalid_idempotency_key` or `idempotency_key_conflict`.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct BadBatch {
    #[serde(flatten)]
    problem: Problem,
    /// The faults of the batch itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    accepted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    results: Option<Vec<EventResult>>,
}

/// No event could be confirmed as stored: `code` is `broker_unavailable`, `queue_full` or,
/// without results, `overloaded`, `timeout` or `keys_unavailable`.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct UnavailableBatch {
    #[serde(flatten)]
    problem: Problem,
    /// Of an event posted alone: send it again with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    accepted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    results: Option<Vec<EventResult>>,
}

/// What came of CloudEvents: the first for one alone, the second for a batch.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "documentation")]
pub(crate) enum CloudEventsAnswer {
    One(Accepted),
    Many(BatchAnswer),
}
