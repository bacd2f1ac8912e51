//! Batches of events as the gateway takes them.

use serde::Serialize;
use uuid::Uuid;

/// The body of `POST /api/metrics/batch`.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Batch {
    pub command_executions: Vec<Command>,
    pub agent_interactions: Vec<Agent>,
    pub productivity_metrics: Vec<Metric>,
    pub user_sessions: Vec<Session>,
}

impl Batch {
    /// How many events it holds.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a count, of what is no collection"
    )]
    pub fn len(&self) -> u64 {
        let counts = [
            self.command_executions.len(),
            self.agent_interactions.len(),
            self.productivity_metrics.len(),
            self.user_sessions.len(),
        ];
        counts.iter().sum::<usize>() as u64
    }

    /// Drops the events that `keep` does not want, told their kind and their index within it.
    pub(crate) fn keep(&mut self, mut keep: impl FnMut(&str, usize) -> bool) {
        fn of<T>(events: &mut Vec<T>, mut keep: impl FnMut(usize) -> bool) {
            let mut index = 0..;
            events.retain(|_| index.next().is_some_and(&mut keep));
        }
        of(&mut self.command_executions, |i| {
            keep("command_execution", i)
        });
        of(&mut self.agent_interactions, |i| {
            keep("agent_interaction", i)
        });
        of(&mut self.productivity_metrics, |i| {
            keep("productivity_metric", i)
        });
        of(&mut self.user_sessions, |i| keep("user_session", i));
    }
}

/// A command execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Command {
    pub event_id: Uuid,
    pub timestamp: String,
    pub user_id: Uuid,
    pub team_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    pub command_name: &'static str,
    pub execution_time_ms: i64,
    pub status: &'static str,
}

/// An agent interaction.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Agent {
    pub event_id: Uuid,
    pub timestamp: String,
    pub user_id: Uuid,
    pub team_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    pub agent_name: &'static str,
    pub interaction_type: &'static str,
    pub execution_time_ms: i64,
    pub status: &'static str,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_usd: String,
    pub model: &'static str,
}

/// A productivity metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Metric {
    pub event_id: Uuid,
    pub timestamp: String,
    pub user_id: Uuid,
    pub team_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    pub metric_type: &'static str,
    pub metric_value: f64,
    pub metric_unit: &'static str,
}

/// The start, progress or end of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Session {
    pub event_id: Uuid,
    pub timestamp: String,
    pub user_id: Uuid,
    pub team_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    pub session_id: String,
    pub kind: &'static str,
    pub session_start: String,
    pub session_end: Option<String>,
    pub duration_minutes: Option<f64>,
    pub commands_executed: Option<u32>,
    pub productivity_score: Option<f64>,
}
