//! PostgreSQL's COPY, in its text format.

use std::fmt::{self, Display, Write as _};

use chrono::{DateTime, NaiveDate, Utc};
use schemas::{Event, EventKind};
use sqlx::PgConnection;

/// A value and what ends it. Nothing generated needs to be escaped.
pub(crate) fn field(line: &mut String, value: impl Display) -> fmt::Result {
    write!(line, "{value}\t")
}

/// The same, of what may be null.
pub(crate) fn optional(line: &mut String, value: Option<impl Display>) -> fmt::Result {
    match value {
        Some(value) => field(line, value),
        None => field(line, "\\N"),
    }
}

/// Writes lines to a table.
pub(crate) async fn lines(
    connection: &mut PgConnection,
    table: &str,
    columns: &str,
    lines: String,
) -> anyhow::Result<()> {
    let statement = format!("copy flowmeter.{table} ({columns}) from stdin");
    let mut copy = connection.copy_in_raw(&statement).await?;
    copy.send(lines.into_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

const COMMON: &str = "event_id, organization_id, user_id, team_id, project_id, \"timestamp\", \
    received_at, source_partition, source_offset";

/// What each kind has more.
const fn columns(kind: EventKind) -> &'static str {
    match kind {
        EventKind::CommandExecution => "command_name, execution_time_ms, status",
        EventKind::AgentInteraction => {
            "agent_name, interaction_type, execution_time_ms, status, input_tokens, \
             output_tokens, cost_usd, model"
        }
        EventKind::ProductivityMetric => "metric_type, metric_value",
        EventKind::UserSession => {
            "session_id, kind, session_start, session_end, commands_executed, productivity_score"
        }
    }
}

/// Writes the raw rows of a day.
pub(crate) async fn events(
    connection: &mut PgConnection,
    events: &[Event],
    date: NaiveDate,
) -> anyhow::Result<()> {
    for kind in EventKind::ALL {
        let mut text = String::new();
        let of_kind = events.iter().filter(|event| event.kind() == kind);
        for (n, event) in of_kind.enumerate() {
            common(&mut text, event, n, date)?;
            own(&mut text, event)?;
        }
        let columns = format!("{COMMON}, {}", columns(kind));
        lines(&mut *connection, kind.plural(), &columns, text).await?;
    }
    Ok(())
}

fn common(line: &mut String, event: &Event, n: usize, date: NaiveDate) -> fmt::Result {
    let common = event.common();
    let at = DateTime::<Utc>::from(common.timestamp).to_rfc3339();
    field(line, common.event_id)?;
    field(line, common.organization_id)?;
    optional(line, common.user_id)?;
    optional(line, common.team_id)?;
    optional(line, common.project_id)?;
    field(line, &at)?;
    field(line, &at)?;
    // A place in the log that nothing else has.
    field(line, n % 4)?;
    field(line, format!("{}{n:07}", date.format("%y%m%d")))
}

fn own(line: &mut String, event: &Event) -> fmt::Result {
    match event {
        Event::CommandExecution(e) => {
            field(line, &e.command_name)?;
            field(line, e.execution_time_ms)?;
            writeln!(line, "{}", e.status.as_str())
        }
        Event::AgentInteraction(e) => {
            field(line, &e.agent_name)?;
            field(line, &e.interaction_type)?;
            field(line, e.execution_time_ms)?;
            field(line, e.status.as_str())?;
            optional(line, e.input_tokens)?;
            optional(line, e.output_tokens)?;
            optional(line, e.cost_usd)?;
            writeln!(line, "{}", e.model.as_deref().unwrap_or("\\N"))
        }
        Event::ProductivityMetric(e) => {
            field(line, &e.metric_type)?;
            writeln!(line, "{}", e.metric_value)
        }
        Event::UserSession(e) => {
            field(line, &e.session_id)?;
            field(line, e.kind.as_str())?;
            optional(line, e.session_start)?;
            optional(line, e.session_end)?;
            optional(line, e.commands_executed)?;
            let score = e.productivity_score.map(|score| score.to_string());
            writeln!(line, "{}", score.as_deref().unwrap_or("\\N"))
        }
    }
}
