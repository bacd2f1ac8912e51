//! An exchange with an AI agent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Common, MAX_EXECUTION_TIME_MS, Status, checks, common};
use crate::{Timestamp, Usd, fault::Faults, free_object::FreeObject, json::ObjectReader};

/// Most tokens of one interaction, each way.
pub(super) const MAX_TOKENS: i64 = 1_000_000_000;

/// An exchange with an AI agent: topic `metrics.agent-interactions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the Avro schema documents the fields")]
pub struct AgentInteraction {
    pub event_id: Uuid,
    pub organization_id: Uuid,
    pub timestamp: Timestamp,
    pub user_id: Uuid,
    #[serde(default)]
    pub team_id: Option<Uuid>,
    #[serde(default)]
    pub project_id: Option<Uuid>,
    pub agent_name: String,
    pub interaction_type: String,
    pub execution_time_ms: i64,
    pub status: Status,
    #[serde(default)]
    pub input_tokens: Option<i64>,
    #[serde(default)]
    pub output_tokens: Option<i64>,
    #[serde(default)]
    pub cost_usd: Option<Usd>,
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub command_execution_id: Option<Uuid>,
    #[serde(default)]
    pub error_message: Option<String>,
    #[serde(default)]
    pub metadata: Option<FreeObject>,
}

impl AgentInteraction {
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
            agent_name: r
                .required("agent_name", ObjectReader::string, faults)
                .unwrap_or_default(),
            interaction_type: r
                .required("interaction_type", ObjectReader::string, faults)
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
            input_tokens: r.integer("input_tokens", faults),
            output_tokens: r.integer("output_tokens", faults),
            cost_usd: r.usd("cost_usd", faults),
            model: r.string("model", faults),
            command_execution_id: r.uuid("command_execution_id", faults),
            error_message: r.string("error_message", faults),
            metadata: r.object("metadata", faults),
        }
    }

    pub(super) fn check(&mut self, faults: &mut Faults) {
        checks::text("/agent_name", &self.agent_name, 1..=255, faults);
        checks::text("/interaction_type", &self.interaction_type, 1..=100, faults);
        let time = self.execution_time_ms;
        checks::integer(
            "/execution_time_ms",
            time,
            0..=MAX_EXECUTION_TIME_MS,
            faults,
        );
        for (at, tokens) in [
            ("/input_tokens", self.input_tokens),
            ("/output_tokens", self.output_tokens),
        ] {
            checks::integer(at, tokens.unwrap_or(0), 0..=MAX_TOKENS, faults);
        }
        if self
            .cost_usd
            .is_some_and(|c| c < Usd::ZERO || c > Usd::EVENT_MAX)
        {
            faults.push("/cost_usd", "range", "must be 0 to 1000000000");
        }
        checks::optional_text("/model", self.model.as_deref(), 1..=255, faults);
        let error = self.error_message.as_deref();
        checks::optional_text("/error_message", error, 0..=10_000, faults);
        checks::object("/metadata", &mut self.metadata, faults);
    }
}
