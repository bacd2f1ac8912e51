//! A command that was run.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Common, MAX_EXECUTION_TIME_MS, Status, checks, common};
use crate::{Timestamp, fault::Faults, free_object::FreeObject, json::ObjectReader};

/// A command that was run: topic `metrics.command-executions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the Avro schema documents the fields")]
pub struct CommandExecution {
    pub event_id: Uuid,
    pub organization_id: Uuid,
    pub timestamp: Timestamp,
    pub user_id: Uuid,
    #[serde(default)]
    pub team_id: Option<Uuid>,
    #[serde(default)]
    pub project_id: Option<Uuid>,
    pub command_name: String,
    pub execution_time_ms: i64,
    pub status: Status,
    #[serde(default)]
    pub command_args: Option<FreeObject>,
    #[serde(default)]
    pub error_message: Option<String>,
    #[serde(default)]
    pub context: Option<FreeObject>,
}

impl CommandExecution {
    common!(Some);

    /// What cannot be read is reported and replaced, so that the rest is judged as well.
    pub(super) fn from_json(c: Common, r: &mut ObjectReader<'_>, faults: &mut Faults) -> Self {
        Self {
            event_id: c.event_id,
            organization_id: c.organization_id,
            timestamp: c.timestamp,
            user_id: ObjectReader::require("user_id", c.user_id, faults).unwrap_or_default(),
            team_id: c.team_id,
            project_id: c.project_id,
            command_name: r
                .required("command_name", ObjectReader::string, faults)
                .unwrap_or_default(),
            execution_time_ms: r
                .required("execution_time_ms", ObjectReader::integer, faults)
                .unwrap_or_default(),
            status: r
                .required(
                    "status",
                    |r, name, f| r.choice(name, Status::EXPECTED, f),
                    faults,
                )
                .unwrap_or(Status::Success),
            command_args: r.object("command_args", faults),
            error_message: r.string("error_message", faults),
            context: r.object("context", faults),
        }
    }

    pub(super) fn check(&mut self, faults: &mut Faults) {
        checks::text("/command_name", &self.command_name, 1..=255, faults);
        let time = self.execution_time_ms;
        checks::integer(
            "/execution_time_ms",
            time,
            0..=MAX_EXECUTION_TIME_MS,
            faults,
        );
        checks::object("/command_args", &mut self.command_args, faults);
        let error = self.error_message.as_deref();
        checks::optional_text("/error_message", error, 0..=10_000, faults);
        checks::object("/context", &mut self.context, faults);
    }
}
