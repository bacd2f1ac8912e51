//! The tables of events, one per kind.

use chrono::{DateTime, Utc};
use schemas::{
    Event, EventKind, Timestamp,
    event::{AgentInteraction, CommandExecution, ProductivityMetric, UserSession},
    free_object::FreeObject,
};
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};

use super::{ROWS_PER_STATEMENT, Written};
use crate::batch::RawEvent;

/// An insert of the columns that every kind has and of some more: their names, their values
/// by alias, the arrays they come from, and the arrays' aliases.
macro_rules! insert {
    ($table:literal, $columns:literal, $values:literal, $arrays:literal, $aliases:literal) => {
        concat!(
            "insert into flowmeter.",
            $table,
            " (event_id, organization_id, user_id, team_id, project_id, \"timestamp\",",
            " received_at, source_partition, source_offset, ",
            $columns,
            ") select e1, e2, e3, e4, e5, e6, e7, e8, e9, ",
            $values,
            " from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[],",
            " $6::timestamptz[], $7::timestamptz[], $8::integer[], $9::bigint[], ",
            $arrays,
            ") as r(e1, e2, e3, e4, e5, e6, e7, e8, e9, ",
            $aliases,
            ")"
        )
    };
}

const COMMANDS: &str = insert!(
    "command_executions",
    "command_name, execution_time_ms, status, command_args, error_message, context",
    "a, b, c, d::jsonb, e, f::jsonb",
    "$10::text[], $11::integer[], $12::text[], $13::text[], $14::text[], $15::text[]",
    "a, b, c, d, e, f"
);
const AGENTS: &str = insert!(
    "agent_interactions",
    "agent_name, interaction_type, execution_time_ms, status, input_tokens, output_tokens, \
     cost_usd, model, command_execution_id, error_message, metadata",
    "a, b, c, d, e, f, g::numeric, h, i, j, k::jsonb",
    "$10::text[], $11::text[], $12::integer[], $13::text[], $14::bigint[], $15::bigint[], \
     $16::text[], $17::text[], $18::uuid[], $19::text[], $20::text[]",
    "a, b, c, d, e, f, g, h, i, j, k"
);
const METRICS: &str = insert!(
    "productivity_metrics",
    "metric_type, metric_value, metric_unit, dimensions",
    "a, b, c, d::jsonb",
    "$10::text[], $11::double precision[], $12::text[], $13::text[]",
    "a, b, c, d"
);
// PostgreSQL's arrays of arrays are matrices, so the agents come as JSON.
const SESSIONS: &str = insert!(
    "user_sessions",
    "session_id, kind, session_start, session_end, duration_minutes, commands_executed, \
     agents_used, productivity_score, context",
    "a, b, c, d, e, f, \
     case when g is not null then array(select jsonb_array_elements_text(g::jsonb)) end, \
     h, i::jsonb",
    "$10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], \
     $14::double precision[], $15::bigint[], $16::text[], $17::double precision[], $18::text[]",
    "a, b, c, d, e, f, g, h, i"
);

type Statement = Query<'static, Postgres, PgArguments>;

/// Inserts them and tells how many into which table.
pub(super) async fn insert(
    connection: &mut PgConnection,
    events: &[RawEvent],
) -> sqlx::Result<Written> {
    let (mut commands, mut agents, mut metrics, mut sessions) = (vec![], vec![], vec![], vec![]);
    for raw in events {
        match &raw.event {
            Event::CommandExecution(event) => commands.push((raw, event)),
            Event::AgentInteraction(event) => agents.push((raw, event)),
            Event::ProductivityMetric(event) => metrics.push((raw, event)),
            Event::UserSession(event) => sessions.push((raw, event)),
        }
    }
    for rows in commands.chunks(ROWS_PER_STATEMENT) {
        insert_commands(rows).execute(&mut *connection).await?;
    }
    for rows in agents.chunks(ROWS_PER_STATEMENT) {
        insert_agents(rows).execute(&mut *connection).await?;
    }
    for rows in metrics.chunks(ROWS_PER_STATEMENT) {
        insert_metrics(rows).execute(&mut *connection).await?;
    }
    for rows in sessions.chunks(ROWS_PER_STATEMENT) {
        insert_sessions(rows).execute(&mut *connection).await?;
    }
    let counts = [
        (EventKind::CommandExecution, commands.len()),
        (EventKind::AgentInteraction, agents.len()),
        (EventKind::ProductivityMetric, metrics.len()),
        (EventKind::UserSession, sessions.len()),
    ];
    Ok(counts.map(|(kind, n)| (kind.plural().to_owned(), n)).into())
}

/// Rows of one kind: where each is, and what it says.
type Rows<'a, T> = [(&'a RawEvent, &'a T)];

fn of<'a, T, U>(rows: &Rows<'a, T>, value: impl Fn(&'a T) -> U) -> Vec<U> {
    rows.iter().map(|(_, event)| value(event)).collect()
}

fn insert_commands(rows: &Rows<'_, CommandExecution>) -> Statement {
    common(COMMANDS, rows)
        .bind(of(rows, |e| e.command_name.as_str()))
        .bind(of(rows, |e| milliseconds(e.execution_time_ms)))
        .bind(of(rows, |e| e.status.as_str()))
        .bind(of(rows, |e| json(&e.command_args)))
        .bind(of(rows, |e| e.error_message.as_deref()))
        .bind(of(rows, |e| json(&e.context)))
}

fn insert_agents(rows: &Rows<'_, AgentInteraction>) -> Statement {
    common(AGENTS, rows)
        .bind(of(rows, |e| e.agent_name.as_str()))
        .bind(of(rows, |e| e.interaction_type.as_str()))
        .bind(of(rows, |e| milliseconds(e.execution_time_ms)))
        .bind(of(rows, |e| e.status.as_str()))
        .bind(of(rows, |e| e.input_tokens))
        .bind(of(rows, |e| e.output_tokens))
        .bind(of(rows, |e| e.cost_usd.map(|cost| cost.to_string())))
        .bind(of(rows, |e| e.model.as_deref()))
        .bind(of(rows, |e| e.command_execution_id))
        .bind(of(rows, |e| e.error_message.as_deref()))
        .bind(of(rows, |e| json(&e.metadata)))
}

fn insert_metrics(rows: &Rows<'_, ProductivityMetric>) -> Statement {
    common(METRICS, rows)
        .bind(of(rows, |e| e.metric_type.as_str()))
        .bind(of(rows, |e| e.metric_value))
        .bind(of(rows, |e| e.metric_unit.as_deref()))
        .bind(of(rows, |e| json(&e.dimensions)))
}

fn insert_sessions(rows: &Rows<'_, UserSession>) -> Statement {
    common(SESSIONS, rows)
        .bind(of(rows, |e| e.session_id.as_str()))
        .bind(of(rows, |e| e.kind.as_str()))
        .bind(of(rows, |e| e.session_start.map(instant)))
        .bind(of(rows, |e| e.session_end.map(instant)))
        .bind(of(rows, |e| e.duration_minutes))
        .bind(of(rows, |e| e.commands_executed))
        .bind(of(rows, |e| {
            let agents = e.agents_used.as_deref()?;
            Some(serde_json::Value::from(agents).to_string())
        }))
        .bind(of(rows, |e| e.productivity_score))
        .bind(of(rows, |e| json(&e.context)))
}

fn common<T>(sql: &'static str, rows: &Rows<'_, T>) -> Statement {
    let raw = || rows.iter().map(|(raw, _)| *raw);
    let commons: Vec<_> = raw().map(|raw| raw.event.common()).collect();
    sqlx::query(sql)
        .bind(commons.iter().map(|c| c.event_id).collect::<Vec<_>>())
        .bind(
            commons
                .iter()
                .map(|c| c.organization_id)
                .collect::<Vec<_>>(),
        )
        .bind(commons.iter().map(|c| c.user_id).collect::<Vec<_>>())
        .bind(commons.iter().map(|c| c.team_id).collect::<Vec<_>>())
        .bind(commons.iter().map(|c| c.project_id).collect::<Vec<_>>())
        .bind(
            commons
                .iter()
                .map(|c| instant(c.timestamp))
                .collect::<Vec<_>>(),
        )
        .bind(
            raw()
                .map(|r| instant(r.source.log_time))
                .collect::<Vec<_>>(),
        )
        .bind(raw().map(|r| r.source.partition).collect::<Vec<_>>())
        .bind(raw().map(|r| r.source.offset).collect::<Vec<_>>())
}

fn instant(timestamp: Timestamp) -> DateTime<Utc> {
    timestamp.into()
}

/// An hour at most, which validation saw to.
fn milliseconds(time: i64) -> i32 {
    i32::try_from(time).unwrap_or(i32::MAX)
}

fn json(object: &Option<FreeObject>) -> Option<&str> {
    object.as_ref().map(FreeObject::as_str)
}
