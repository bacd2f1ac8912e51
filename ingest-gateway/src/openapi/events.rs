//! The bodies of requests, as documented.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// How an execution ended.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Success,
    Error,
    Timeout,
    Cancelled,
}

/// A command that was run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct CommandExecution {
    /// The same in every retry; without one the event gets one.
    event_id: Option<Uuid>,
    /// The token's organization, or nothing.
    organization_id: Option<Uuid>,
    /// Event time; without one, the time of receipt. At most 5 minutes ahead, and not older
    /// than events are kept.
    timestamp: Option<DateTime<Utc>>,
    /// Who ran it.
    user_id: Uuid,
    team_id: Option<Uuid>,
    project_id: Option<Uuid>,
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    command_name: String,
    #[schema(minimum = 0, maximum = 3_600_000)]
    execution_time_ms: i64,
    status: Status,
    /// At most 16 KiB, and 8 levels deep; no key twice, no U+0000.
    #[schema(value_type = Option<Object>)]
    command_args: Option<serde_json::Value>,
    #[schema(max_length = 10_000, pattern = r"^[^\u0000]*$")]
    error_message: Option<String>,
    /// At most 16 KiB, and 8 levels deep; no key twice, no U+0000.
    #[schema(value_type = Option<Object>)]
    context: Option<serde_json::Value>,
}

/// An amount of dollars, from 0 to 1000000000: a number, or a string of one for clients
/// without decimals.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "documentation")]
pub(crate) enum Usd {
    Number(#[schema(inline)] UsdNumber),
    Text(#[schema(inline)] UsdText),
}

/// A number of dollars.
#[derive(Deserialize, ToSchema)]
#[schema(minimum = 0, maximum = 1_000_000_000)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct UsdNumber(f64);

/// Dollars as a decimal.
#[derive(Deserialize, ToSchema)]
#[schema(pattern = r"^[0-9]{1,9}(\.[0-9]{1,20})?$", example = "0.25")]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct UsdText(String);

/// An exchange with an AI agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct AgentInteraction {
    /// The same in every retry; without one the event gets one.
    event_id: Option<Uuid>,
    /// The token's organization, or nothing.
    organization_id: Option<Uuid>,
    /// Event time; without one, the time of receipt. At most 5 minutes ahead, and not older
    /// than events are kept.
    timestamp: Option<DateTime<Utc>>,
    /// Whose interaction it is.
    user_id: Uuid,
    team_id: Option<Uuid>,
    project_id: Option<Uuid>,
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    agent_name: String,
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000]*$")]
    interaction_type: String,
    #[schema(minimum = 0, maximum = 3_600_000)]
    execution_time_ms: i64,
    status: Status,
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    input_tokens: Option<i64>,
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    output_tokens: Option<i64>,
    cost_usd: Option<Usd>,
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    model: Option<String>,
    /// The command it belongs to.
    command_execution_id: Option<Uuid>,
    #[schema(max_length = 10_000, pattern = r"^[^\u0000]*$")]
    error_message: Option<String>,
    /// At most 16 KiB, and 8 levels deep; no key twice, no U+0000.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
}

/// A measured value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct ProductivityMetric {
    /// The same in every retry; without one the event gets one.
    event_id: Option<Uuid>,
    /// The token's organization, or nothing.
    organization_id: Option<Uuid>,
    /// Event time; without one, the time of receipt. At most 5 minutes ahead, and not older
    /// than events are kept.
    timestamp: Option<DateTime<Utc>>,
    /// Whose it is, if anybody's.
    user_id: Option<Uuid>,
    team_id: Option<Uuid>,
    project_id: Option<Uuid>,
    /// Such as `commands_per_hour`, `error_rate` or `response_time`.
    #[schema(min_length = 1, max_length = 100, pattern = "^[a-z][a-z0-9_.]{0,99}$")]
    metric_type: String,
    #[schema(minimum = -1e18, maximum = 1e18)]
    metric_value: f64,
    #[schema(max_length = 50, pattern = r"^[^\u0000]*$")]
    metric_unit: Option<String>,
    /// At most 16 KiB, and 8 levels deep; no key twice, no U+0000.
    #[schema(value_type = Option<Object>)]
    dimensions: Option<serde_json::Value>,
}

/// What an event says of its session.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionKind {
    Started,
    Updated,
    Ended,
}

/// The name of an agent.
#[derive(Deserialize, ToSchema)]
#[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct AgentName(String);

/// The start, progress or end of a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct UserSession {
    /// The same in every retry; without one the event gets one.
    event_id: Option<Uuid>,
    /// The token's organization, or nothing.
    organization_id: Option<Uuid>,
    /// Event time; without one, the time of receipt. At most 5 minutes ahead, and not older
    /// than events are kept.
    timestamp: Option<DateTime<Utc>>,
    /// Whose session it is.
    user_id: Uuid,
    team_id: Option<Uuid>,
    project_id: Option<Uuid>,
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    session_id: String,
    kind: SessionKind,
    session_start: Option<DateTime<Utc>>,
    /// Not before `session_start`.
    session_end: Option<DateTime<Utc>>,
    #[schema(minimum = 0, maximum = 1440)]
    duration_minutes: Option<f64>,
    #[schema(minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    commands_executed: Option<i64>,
    #[schema(max_items = 1000)]
    agents_used: Option<Vec<AgentName>>,
    #[schema(minimum = 0, maximum = 100)]
    productivity_score: Option<f64>,
    /// At most 16 KiB, and 8 levels deep; no key twice, no U+0000.
    #[schema(value_type = Option<Object>)]
    context: Option<serde_json::Value>,
}

/// Events of all kinds: at least one, and all lists together at most `MAX_BATCH_SIZE`
/// (1000 unless configured). Each event at most 1 MiB, the body at most 10 MiB.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "documentation")]
pub(crate) struct Batch {
    command_executions: Option<Vec<CommandExecution>>,
    agent_interactions: Option<Vec<AgentInteraction>>,
    productivity_metrics: Option<Vec<ProductivityMetric>>,
    user_sessions: Option<Vec<UserSession>>,
    /// The event time of events that name none.
    timestamp: Option<DateTime<Utc>>,
    /// The same as the header `Idempotency-Key`; if both are given they must be equal.
    #[schema(min_length = 1, max_length = 255)]
    batch_id: Option<String>,
}
