//! The start, progress or end of a session.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Common, checks, common};
use crate::{Timestamp, fault::Faults, free_object::FreeObject, json::ObjectReader};

/// Most agents listed by one event.
pub(super) const MAX_AGENTS: usize = 1000;

/// What an event says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// It began.
    Started,
    /// It goes on.
    Updated,
    /// It is over.
    Ended,
}

impl SessionKind {
    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Updated => "updated",
            Self::Ended => "ended",
        }
    }
}

/// The start, progress or end of a session: topic `metrics.user-sessions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the Avro schema documents the fields")]
pub struct UserSession {
    pub event_id: Uuid,
    pub organization_id: Uuid,
    pub timestamp: Timestamp,
    pub user_id: Uuid,
    #[serde(default)]
    pub team_id: Option<Uuid>,
    #[serde(default)]
    pub project_id: Option<Uuid>,
    pub session_id: String,
    pub kind: SessionKind,
    #[serde(default)]
    pub session_start: Option<Timestamp>,
    #[serde(default)]
    pub session_end: Option<Timestamp>,
    #[serde(default)]
    pub duration_minutes: Option<f64>,
    #[serde(default)]
    pub commands_executed: Option<i64>,
    #[serde(default)]
    pub agents_used: Option<Vec<String>>,
    #[serde(default)]
    pub productivity_score: Option<f64>,
    #[serde(default)]
    pub context: Option<FreeObject>,
}

impl UserSession {
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
            session_id: r
                .required("session_id", ObjectReader::string, faults)
                .unwrap_or_default(),
            kind: r
                .required(
                    "kind",
                    |r, name, f| r.choice(name, "must be started, updated or ended", f),
                    faults,
                )
                .unwrap_or(SessionKind::Started),
            session_start: r.timestamp("session_start", faults),
            session_end: r.timestamp("session_end", faults),
            duration_minutes: r.number("duration_minutes", faults),
            commands_executed: r.integer("commands_executed", faults),
            agents_used: r.strings("agents_used", faults),
            productivity_score: r.number("productivity_score", faults),
            context: r.object("context", faults),
        }
    }

    pub(super) fn check(&mut self, faults: &mut Faults) {
        checks::text("/session_id", &self.session_id, 1..=255, faults);
        if let (Some(start), Some(end)) = (self.session_start, self.session_end)
            && end < start
        {
            faults.push("/session_end", "order", "is before session_start");
        }
        let duration = self.duration_minutes.unwrap_or(0.0);
        checks::number("/duration_minutes", duration, 0.0..=1440.0, faults);
        let commands = self.commands_executed.unwrap_or(0);
        checks::integer("/commands_executed", commands, 0..=i64::MAX, faults);
        let score = self.productivity_score.unwrap_or(0.0);
        checks::number("/productivity_score", score, 0.0..=100.0, faults);
        let agents = self.agents_used.as_deref().unwrap_or_default();
        if agents.len() > MAX_AGENTS {
            faults.push("/agents_used", "length", "must have at most 1000 entries");
        } else {
            for (i, agent) in agents.iter().enumerate() {
                checks::text(&format!("/agents_used/{i}"), agent, 1..=255, faults);
            }
        }
        checks::object("/context", &mut self.context, faults);
    }
}
