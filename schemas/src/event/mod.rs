//! The four kinds of events, as values. Each file holds one kind: its fields, how it is
//! read from JSON, and its rules. The same rules hold for a posted event and for a record
//! that some other producer put on a topic.

mod agent_interaction;
mod checks;
mod command_execution;
mod content;
mod productivity_metric;
mod user_session;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::{Uuid, fmt::Hyphenated};

pub use self::{
    agent_interaction::AgentInteraction,
    checks::ValidationContext,
    command_execution::CommandExecution,
    productivity_metric::ProductivityMetric,
    user_session::{SessionKind, UserSession},
};
use crate::{
    Timestamp,
    fault::{Fault, Faults},
    json::ObjectReader,
};

/// Longest execution, in milliseconds: one hour.
pub const MAX_EXECUTION_TIME_MS: i64 = 3_600_000;

/// Of a record's key: two ids and what is between them.
const KEY_LENGTH: usize = 2 * Hyphenated::LENGTH + 1;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A command that was run.
    CommandExecution,
    /// An exchange with an AI agent.
    AgentInteraction,
    /// A measured value.
    ProductivityMetric,
    /// The start, progress or end of a session.
    UserSession,
}

impl EventKind {
    /// All, in the order of a batch's lists.
    pub const ALL: [Self; 4] = [
        Self::CommandExecution,
        Self::AgentInteraction,
        Self::ProductivityMetric,
        Self::UserSession,
    ];

    /// The name in answers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommandExecution => "command_execution",
            Self::AgentInteraction => "agent_interaction",
            Self::ProductivityMetric => "productivity_metric",
            Self::UserSession => "user_session",
        }
    }

    /// The list of a batch, and the table, that holds this kind.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::CommandExecution => "command_executions",
            Self::AgentInteraction => "agent_interactions",
            Self::ProductivityMetric => "productivity_metrics",
            Self::UserSession => "user_sessions",
        }
    }

    /// The last part of the topic's name.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::CommandExecution => "command-executions",
            Self::AgentInteraction => "agent-interactions",
            Self::ProductivityMetric => "productivity-metrics",
            Self::UserSession => "user-sessions",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did what it should.
    Success,
    /// It failed.
    Error,
    /// It took too long and was ended.
    Timeout,
    /// Somebody ended it.
    Cancelled,
}

impl Status {
    /// All, in the order of the schema.
    pub const ALL: [Self; 4] = [Self::Success, Self::Error, Self::Timeout, Self::Cancelled];
    pub(crate) const EXPECTED: &'static str = "must be success, error, timeout or cancelled";

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What every event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Common {
    /// Chosen by the producer, the same in every retry.
    pub event_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// Event time.
    pub timestamp: Timestamp,
    /// Who did it; only a productivity metric may have none.
    pub user_id: Option<Uuid>,
    /// In which team.
    pub team_id: Option<Uuid>,
    /// For which project.
    pub project_id: Option<Uuid>,
}

/// What a posted event takes from its request where its body says nothing.
#[derive(Debug, Clone, Copy)]
pub struct JsonDefaults {
    /// The token's organization; a body may repeat it and nothing else.
    pub organization_id: Uuid,
    /// The event's id if it names none.
    pub event_id: Uuid,
    /// The event's time if it names none.
    pub timestamp: Timestamp,
}

/// An event of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A command that was run.
    CommandExecution(CommandExecution),
    /// An exchange with an AI agent.
    AgentInteraction(AgentInteraction),
    /// A measured value.
    ProductivityMetric(ProductivityMetric),
    /// The start, progress or end of a session.
    UserSession(UserSession),
}

impl Event {
    /// Reads and validates a posted event.
    ///
    /// # Errors
    /// Every fault of it, each with its JSON pointer.
    pub fn from_json(
        kind: EventKind,
        raw: &RawValue,
        defaults: &JsonDefaults,
        context: &ValidationContext,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let Some(mut reader) = ObjectReader::open(raw, &mut faults) else {
            return Err(faults.or_value(()).expect_err("open reported why"));
        };
        let common = common_from_json(&mut reader, defaults, &mut faults);
        let (r, f) = (&mut reader, &mut faults);
        let mut event = match kind {
            EventKind::CommandExecution => {
                Self::CommandExecution(CommandExecution::from_json(common, r, f))
            }
            EventKind::AgentInteraction => {
                Self::AgentInteraction(AgentInteraction::from_json(common, r, f))
            }
            EventKind::ProductivityMetric => {
                Self::ProductivityMetric(ProductivityMetric::from_json(common, r, f))
            }
            EventKind::UserSession => Self::UserSession(UserSession::from_json(common, r, f)),
        };
        reader.finish(&mut faults);
        event.check(context, &mut faults);
        faults.or_value(event)
    }

    /// Validates an event that came from a topic; its free objects are normalized.
    ///
    /// # Errors
    /// Every fault of it, each with its JSON pointer.
    pub fn validate(mut self, context: &ValidationContext) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        self.check(context, &mut faults);
        faults.or_value(self)
    }

    fn check(&mut self, context: &ValidationContext, faults: &mut Faults) {
        context.check_time(self.common().timestamp, faults);
        match self {
            Self::CommandExecution(e) => e.check(faults),
            Self::AgentInteraction(e) => e.check(faults),
            Self::ProductivityMetric(e) => e.check(faults),
            Self::UserSession(e) => e.check(faults),
        }
    }

    /// Which kind it is.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::CommandExecution(_) => EventKind::CommandExecution,
            Self::AgentInteraction(_) => EventKind::AgentInteraction,
            Self::ProductivityMetric(_) => EventKind::ProductivityMetric,
            Self::UserSession(_) => EventKind::UserSession,
        }
    }

    /// What every event has.
    pub const fn common(&self) -> Common {
        match self {
            Self::CommandExecution(e) => e.common(),
            Self::AgentInteraction(e) => e.common(),
            Self::ProductivityMetric(e) => e.common(),
            Self::UserSession(e) => e.common(),
        }
    }

    /// The key of its record: `organization_id:user_id`, so that one user's events share a
    /// partition; `organization_id:` if it has no user.
    pub fn key(&self) -> String {
        let mut text = [0; KEY_LENGTH];
        String::from_utf8_lossy(self.key_in(&mut text)).into_owned()
    }

    /// Whether [`Event::key`] is `key`, without allocating it.
    pub fn has_key(&self, key: &[u8]) -> bool {
        self.key_in(&mut [0; KEY_LENGTH]) == key
    }

    fn key_in<'t>(&self, text: &'t mut [u8; KEY_LENGTH]) -> &'t [u8] {
        let common = self.common();
        let (organization, rest) = text.split_at_mut(Hyphenated::LENGTH);
        common
            .organization_id
            .hyphenated()
            .encode_lower(organization);
        rest[0] = b':';
        let length = match common.user_id {
            Some(user) => {
                user.hyphenated().encode_lower(&mut rest[1..]);
                KEY_LENGTH
            }
            None => Hyphenated::LENGTH + 1,
        };
        &text[..length]
    }
}

fn common_from_json(
    reader: &mut ObjectReader<'_>,
    defaults: &JsonDefaults,
    faults: &mut Faults,
) -> Common {
    let event_id = reader.uuid("event_id", faults);
    let timestamp = reader.timestamp("timestamp", faults);
    let organization_id = reader.uuid("organization_id", faults);
    if organization_id.is_some_and(|id| id != defaults.organization_id) {
        faults.push(
            "/organization_id",
            "organization",
            "is not the organization of the token",
        );
    }
    Common {
        event_id: event_id.unwrap_or(defaults.event_id),
        organization_id: defaults.organization_id,
        timestamp: timestamp.unwrap_or(defaults.timestamp),
        user_id: reader.uuid("user_id", faults),
        team_id: reader.uuid("team_id", faults),
        project_id: reader.uuid("project_id", faults),
    }
}

/// `common()` of a kind; `$user` turns its `user_id` into an option.
macro_rules! common {
    ($user:expr) => {
        pub(super) const fn common(&self) -> super::Common {
            super::Common {
                event_id: self.event_id,
                organization_id: self.organization_id,
                timestamp: self.timestamp,
                user_id: $user(self.user_id),
                team_id: self.team_id,
                project_id: self.project_id,
            }
        }
    };
}
use common;

#[cfg(test)]
mod tests;
