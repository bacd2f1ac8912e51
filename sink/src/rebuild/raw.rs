//! What the raw rows add up to.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use schemas::{
    Event, Rollup, Timestamp, Usd, Window,
    event::{
        AgentInteraction, CommandExecution, ProductivityMetric, SessionKind, Status, UserSession,
    },
    rollup::Series,
};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use crate::store::StoreError;

/// Sums by organization, minute and finest series.
pub(crate) type Sums = HashMap<(Uuid, Timestamp, Series), Rollup>;

/// Whoever has raw rows or rollups in a range.
const ORGANIZATIONS: &str = "\
    select organization_id from flowmeter.rollups_1d where bucket_start >= $1 and bucket_start < $2 \
    union select organization_id from flowmeter.command_executions where \"timestamp\" >= $1 and \"timestamp\" < $2 \
    union select organization_id from flowmeter.agent_interactions where \"timestamp\" >= $1 and \"timestamp\" < $2 \
    union select organization_id from flowmeter.productivity_metrics where \"timestamp\" >= $1 and \"timestamp\" < $2 \
    union select organization_id from flowmeter.user_sessions where \"timestamp\" >= $1 and \"timestamp\" < $2 \
    order by 1";

macro_rules! select {
    ($table:literal, $columns:literal) => {
        concat!(
            "select user_id, team_id, project_id, \"timestamp\", ",
            $columns,
            " from flowmeter.",
            $table,
            " where organization_id = $1 and \"timestamp\" >= $2 and \"timestamp\" < $3"
        )
    };
}

/// Reads an event from a row of an organization's.
type Read = fn(&PgRow, Uuid) -> Result<Event, StoreError>;

/// What of each kind's rows rollups are made of, and how an event is read from one.
const KINDS: [(&str, Read); 4] = [
    (
        select!(
            "command_executions",
            "command_name, execution_time_ms, status"
        ),
        command,
    ),
    (
        select!(
            "agent_interactions",
            "agent_name, model, execution_time_ms, status, input_tokens, output_tokens, \
             cost_usd::text as cost_usd"
        ),
        agent,
    ),
    (
        select!("productivity_metrics", "metric_type, metric_value"),
        metric,
    ),
    (
        select!(
            "user_sessions",
            "kind, session_start, session_end, duration_minutes, commands_executed, \
             productivity_score"
        ),
        session,
    ),
];

pub(super) async fn organizations(
    pool: &PgPool,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(ORGANIZATIONS)
        .bind(DateTime::<Utc>::from(from))
        .bind(DateTime::<Utc>::from(to))
        .fetch_all(pool)
        .await?)
}

/// How many events an organization has in a range, and what they add up to.
pub(crate) async fn sums(
    connection: &mut PgConnection,
    organization_id: Uuid,
    from: Timestamp,
    to: Timestamp,
) -> Result<(u64, Sums), StoreError> {
    let (mut events, mut sums) = (0, Sums::new());
    for (sql, read) in KINDS {
        let mut rows = sqlx::query(sql)
            // Planned for this range, which leaves out all other chunks.
            .persistent(false)
            .bind(organization_id)
            .bind(DateTime::<Utc>::from(from))
            .bind(DateTime::<Utc>::from(to))
            .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let event = read(&row, organization_id)?;
            let minute = Window::M1.start(event.common().timestamp);
            let key = (organization_id, minute, Series::of(&event));
            sums.entry(key).or_default().merge(&Rollup::of(&event));
            events += 1;
        }
    }
    Ok((events, sums))
}

fn command(row: &PgRow, organization_id: Uuid) -> Result<Event, StoreError> {
    Ok(Event::CommandExecution(CommandExecution {
        event_id: Uuid::nil(),
        organization_id,
        timestamp: instant("timestamp", row.try_get("timestamp")?)?,
        user_id: row.try_get("user_id")?,
        team_id: row.try_get("team_id")?,
        project_id: row.try_get("project_id")?,
        command_name: row.try_get("command_name")?,
        execution_time_ms: i64::from(row.try_get::<i32, _>("execution_time_ms")?),
        status: status(row)?,
        command_args: None,
        error_message: None,
        context: None,
    }))
}

fn agent(row: &PgRow, organization_id: Uuid) -> Result<Event, StoreError> {
    let cost: Option<String> = row.try_get("cost_usd")?;
    let cost: Option<Usd> = cost
        .map(|cost| cost.parse().map_err(|_| corrupt("cost_usd")))
        .transpose()?;
    Ok(Event::AgentInteraction(AgentInteraction {
        event_id: Uuid::nil(),
        organization_id,
        timestamp: instant("timestamp", row.try_get("timestamp")?)?,
        user_id: row.try_get("user_id")?,
        team_id: row.try_get("team_id")?,
        project_id: row.try_get("project_id")?,
        agent_name: row.try_get("agent_name")?,
        interaction_type: String::new(),
        execution_time_ms: i64::from(row.try_get::<i32, _>("execution_time_ms")?),
        status: status(row)?,
        input_tokens: row.try_get("input_tokens")?,
        output_tokens: row.try_get("output_tokens")?,
        cost_usd: cost,
        model: row.try_get("model")?,
        command_execution_id: None,
        error_message: None,
        metadata: None,
    }))
}

fn metric(row: &PgRow, organization_id: Uuid) -> Result<Event, StoreError> {
    Ok(Event::ProductivityMetric(ProductivityMetric {
        event_id: Uuid::nil(),
        organization_id,
        timestamp: instant("timestamp", row.try_get("timestamp")?)?,
        user_id: row.try_get("user_id")?,
        team_id: row.try_get("team_id")?,
        project_id: row.try_get("project_id")?,
        metric_type: row.try_get("metric_type")?,
        metric_value: row.try_get("metric_value")?,
        metric_unit: None,
        dimensions: None,
    }))
}

fn session(row: &PgRow, organization_id: Uuid) -> Result<Event, StoreError> {
    let kind: &str = row.try_get("kind")?;
    let kind = [
        SessionKind::Started,
        SessionKind::Updated,
        SessionKind::Ended,
    ]
    .into_iter()
    .find(|k| k.as_str() == kind)
    .ok_or_else(|| corrupt("kind"))?;
    let optional = |column: &'static str| -> Result<Option<Timestamp>, StoreError> {
        let at: Option<DateTime<Utc>> = row.try_get(column)?;
        at.map(|at| instant(column, at)).transpose()
    };
    Ok(Event::UserSession(UserSession {
        event_id: Uuid::nil(),
        organization_id,
        timestamp: instant("timestamp", row.try_get("timestamp")?)?,
        user_id: row.try_get("user_id")?,
        team_id: row.try_get("team_id")?,
        project_id: row.try_get("project_id")?,
        session_id: String::new(),
        kind,
        session_start: optional("session_start")?,
        session_end: optional("session_end")?,
        duration_minutes: row.try_get("duration_minutes")?,
        commands_executed: row.try_get("commands_executed")?,
        agents_used: None,
        productivity_score: row.try_get("productivity_score")?,
        context: None,
    }))
}

fn instant(column: &'static str, at: DateTime<Utc>) -> Result<Timestamp, StoreError> {
    Timestamp::try_from(at).map_err(|_| corrupt(column))
}

fn status(row: &PgRow) -> Result<Status, StoreError> {
    let text: &str = row.try_get("status")?;
    let mut all = Status::ALL.into_iter();
    all.find(|status| status.as_str() == text)
        .ok_or_else(|| corrupt("status"))
}

fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt {
        table: "events".to_owned(),
        what,
    }
}
