//! The parameters as OpenAPI describes them. They are read by hand, all faults at once.
#![expect(dead_code, reason = "it describes and is never made")]

use utoipa::IntoParams;
use uuid::Uuid;

use crate::openapi::{GroupByName, WindowName};

/// The parameters of `/live`. Each may be given once; others are refused.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveParams {
    /// The length of a bucket, in UTC.
    #[param(inline, required = false, default = "1m")]
    window: WindowName,
    /// How many of the newest buckets, the open one included: of `1m` at most 120, of `5m` and
    /// `1h` 24, of `15m` 8, of `1d` 1. By default those of an hour, or a day.
    #[param(minimum = 1, maximum = 120, required = false)]
    buckets: u32,
    /// By what the events of a bucket are told apart. By `command`, `agent`, `model` or
    /// `metric_type` only events of that kind count.
    #[param(inline, required = false)]
    group_by: GroupByName,
    /// Only this user's events.
    #[param(required = false)]
    user_id: Uuid,
    /// Only this team's events.
    #[param(required = false)]
    team_id: Uuid,
    /// Only this project's events.
    #[param(required = false)]
    project_id: Uuid,
    /// Of commands, only those of this name. Other events count all the same.
    #[param(required = false)]
    command_name: String,
    /// Of agents, only those of this name; likewise.
    #[param(required = false)]
    agent_name: String,
    /// Of agents, only those of this model; likewise.
    #[param(required = false)]
    model: String,
    /// Of productivity metrics, only these types, separated by commas.
    #[param(required = false, example = "commands_per_hour,error_rate")]
    metric_types: String,
    /// The last `cursor` that the client got, with the same other parameters: to go on from
    /// there. Of Server-Sent Events, `Last-Event-ID` comes before it.
    #[param(required = false)]
    cursor: String,
}

/// The parameters of `/real-time/{window}`. Each may be given once; others are refused.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RealTimeParams {
    /// How many of the newest buckets, the open one included; as of `/live`, but by default 1.
    #[param(minimum = 1, maximum = 120, default = 1, required = false)]
    buckets: u32,
    /// By what the events of a bucket are told apart. By `command`, `agent`, `model` or
    /// `metric_type` only events of that kind count.
    #[param(inline, required = false)]
    group_by: GroupByName,
    /// Only this user's events.
    #[param(required = false)]
    user_id: Uuid,
    /// Only this team's events.
    #[param(required = false)]
    team_id: Uuid,
    /// Only this project's events.
    #[param(required = false)]
    project_id: Uuid,
    /// Of commands, only those of this name. Other events count all the same.
    #[param(required = false)]
    command_name: String,
    /// Of agents, only those of this name; likewise.
    #[param(required = false)]
    agent_name: String,
    /// Of agents, only those of this model; likewise.
    #[param(required = false)]
    model: String,
    /// Of productivity metrics, only these types, separated by commas.
    #[param(required = false, example = "commands_per_hour,error_rate")]
    metric_types: String,
}
