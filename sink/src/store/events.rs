//! The tables of events, one per kind.

use schemas::{
    Event, EventKind, Source,
    event::{AgentInteraction, CommandExecution, Common, ProductivityMetric, UserSession},
    free_object::FreeObject,
};
use sqlx::PgConnection;

use super::{
    Written,
    copy::{CopyRow, CopyRows, Json, Numeric},
};
use crate::batch::RawEvent;

/// Columns that every kind has; [`begin`] puts them.
const COMMON: i16 = 9;

/// Takes in the columns that every kind has and some more.
macro_rules! copy {
    ($table:literal, $columns:literal) => {
        concat!(
            "copy flowmeter.",
            $table,
            " (event_id, organization_id, user_id, team_id, project_id, \"timestamp\", ",
            "received_at, source_partition, source_offset, ",
            $columns,
            ") from stdin (format binary)"
        )
    };
}

const COMMANDS: &str = copy!(
    "command_executions",
    "command_name, execution_time_ms, status, command_args, error_message, context"
);
const AGENTS: &str = copy!(
    "agent_interactions",
    "agent_name, interaction_type, execution_time_ms, status, input_tokens, output_tokens, \
     cost_usd, model, command_execution_id, error_message, metadata"
);
const METRICS: &str = copy!(
    "productivity_metrics",
    "metric_type, metric_value, metric_unit, dimensions"
);
const SESSIONS: &str = copy!(
    "user_sessions",
    "session_id, kind, session_start, session_end, duration_minutes, commands_executed, \
     agents_used, productivity_score, context"
);

/// Rows of events, as their tables take them in: a fraction of what the events themselves need.
#[derive(Debug, Default)]
pub(crate) struct EventRows {
    commands: CopyRows,
    agents: CopyRows,
    metrics: CopyRows,
    sessions: CopyRows,
}

impl EventRows {
    /// Those of events.
    pub(super) fn of(events: &[RawEvent]) -> Self {
        let mut rows = Self::default();
        for raw in events {
            rows.add(&raw.event, &raw.record.source);
        }
        rows
    }

    /// Adds an event's.
    pub(crate) fn add(&mut self, event: &Event, source: &Source) {
        let common = event.common();
        match event {
            Event::CommandExecution(event) => {
                command(begin(&mut self.commands, common, source, 6), event);
            }
            Event::AgentInteraction(event) => {
                agent(begin(&mut self.agents, common, source, 11), event);
            }
            Event::ProductivityMetric(event) => {
                metric(begin(&mut self.metrics, common, source, 4), event);
            }
            Event::UserSession(event) => {
                session(begin(&mut self.sessions, common, source, 9), event);
            }
        }
    }

    /// Inserts them and tells how many into which table.
    pub(super) async fn insert(&self, connection: &mut PgConnection) -> sqlx::Result<Written> {
        let mut written = Written::new();
        for (kind, rows, statement) in [
            (EventKind::CommandExecution, &self.commands, COMMANDS),
            (EventKind::AgentInteraction, &self.agents, AGENTS),
            (EventKind::ProductivityMetric, &self.metrics, METRICS),
            (EventKind::UserSession, &self.sessions, SESSIONS),
        ] {
            if rows.len() > 0 {
                rows.send(&mut *connection, statement).await?;
            }
            written.insert(kind.plural().to_owned(), rows.len());
        }
        Ok(written)
    }
}

/// Begins a row with the columns that every kind has; so many more follow.
fn begin<'a>(rows: &'a mut CopyRows, common: Common, source: &Source, more: i16) -> CopyRow<'a> {
    let mut row = rows.add(COMMON + more);
    row.put(common.event_id)
        .put(common.organization_id)
        .put_some(common.user_id)
        .put_some(common.team_id)
        .put_some(common.project_id)
        .put(common.timestamp)
        .put(source.log_time)
        .put(source.partition)
        .put(source.offset);
    row
}

fn command(mut row: CopyRow<'_>, event: &CommandExecution) {
    row.put(event.command_name.as_str())
        .put(milliseconds(event.execution_time_ms))
        .put(event.status.as_str())
        .put_some(json(&event.command_args))
        .put_some(event.error_message.as_deref())
        .put_some(json(&event.context));
}

fn agent(mut row: CopyRow<'_>, event: &AgentInteraction) {
    row.put(event.agent_name.as_str())
        .put(event.interaction_type.as_str())
        .put(milliseconds(event.execution_time_ms))
        .put(event.status.as_str())
        .put_some(event.input_tokens)
        .put_some(event.output_tokens)
        .put_some(event.cost_usd.map(Numeric))
        .put_some(event.model.as_deref())
        .put_some(event.command_execution_id)
        .put_some(event.error_message.as_deref())
        .put_some(json(&event.metadata));
}

fn metric(mut row: CopyRow<'_>, event: &ProductivityMetric) {
    row.put(event.metric_type.as_str())
        .put(event.metric_value)
        .put_some(event.metric_unit.as_deref())
        .put_some(json(&event.dimensions));
}

fn session(mut row: CopyRow<'_>, event: &UserSession) {
    row.put(event.session_id.as_str())
        .put(event.kind.as_str())
        .put_some(event.session_start)
        .put_some(event.session_end)
        .put_some(event.duration_minutes)
        .put_some(event.commands_executed)
        .put_some(event.agents_used.as_deref())
        .put_some(event.productivity_score)
        .put_some(json(&event.context));
}

/// An hour at most, which validation saw to.
fn milliseconds(time: i64) -> i32 {
    i32::try_from(time).unwrap_or(i32::MAX)
}

fn json(object: &Option<FreeObject>) -> Option<Json<'_>> {
    object.as_ref().map(|object| Json(object.as_str()))
}
