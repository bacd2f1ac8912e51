//! The raw rows one by one, as what each of them says by itself.

use chrono::{DateTime, Utc};
use schemas::{
    Rollup, Timestamp,
    event::Status,
    rollup::{ExecutionTime, Series, SeriesKind, Values},
};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::tests::world::Fact;

/// All events of an organization, the oldest first.
const EVENTS: &str = "\
    select * from (\
        select 'command' as series, user_id, team_id, project_id, \"timestamp\", \
            command_name as name, null as model, status, execution_time_ms::float8 as millis, \
            0 as input_tokens, 0 as output_tokens, '0' as cost, null::float8 as value, 0 as commands \
        from flowmeter.command_executions where organization_id = $1 \
        union all select 'agent', user_id, team_id, project_id, \"timestamp\", \
            agent_name, model, status, execution_time_ms::float8, \
            coalesce(input_tokens, 0), coalesce(output_tokens, 0), coalesce(cost_usd, 0)::text, null, 0 \
        from flowmeter.agent_interactions where organization_id = $1 \
        union all select 'metric', user_id, team_id, project_id, \"timestamp\", \
            metric_type, null, null, null, 0, 0, '0', metric_value, 0 \
        from flowmeter.productivity_metrics where organization_id = $1 \
        union all select 'session', user_id, team_id, project_id, \"timestamp\", kind, null, null, \
            case when kind = 'ended' then coalesce(round(duration_minutes * 60000), \
                floor(extract(epoch from session_end - session_start) * 1000)::float8) end, \
            0, 0, '0', case when kind = 'ended' then productivity_score end, \
            case when kind = 'ended' then coalesce(commands_executed, 0) else 0 end \
        from flowmeter.user_sessions where organization_id = $1\
    ) events order by \"timestamp\"";

#[derive(FromRow)]
struct Event {
    series: String,
    user_id: Option<Uuid>,
    team_id: Option<Uuid>,
    project_id: Option<Uuid>,
    timestamp: DateTime<Utc>,
    name: String,
    model: Option<String>,
    status: Option<String>,
    millis: Option<f64>,
    input_tokens: i64,
    output_tokens: i64,
    cost: String,
    value: Option<f64>,
    commands: i64,
}

/// See [`EVENTS`].
pub(super) async fn facts(owner: &PgPool, organization: Uuid) -> Vec<Fact> {
    let events: Vec<Event> = sqlx::query_as(EVENTS)
        .bind(organization)
        .fetch_all(owner)
        .await
        .unwrap();
    events.into_iter().map(fact).collect()
}

fn fact(event: Event) -> Fact {
    let mut kinds = SeriesKind::ALL.into_iter();
    let kind = kinds.find(|kind| kind.as_str() == event.series);
    let status = event.status;
    let with = |s: Status| u64::from(status.as_deref() == Some(s.as_str()));
    let time = event.millis.map(|millis| ExecutionTime::of(millis as u64));
    Fact {
        at: Timestamp::try_from(event.timestamp).unwrap(),
        series: Series {
            kind: kind.unwrap(),
            name: event.name,
            model: event.model,
            team_id: event.team_id,
            project_id: event.project_id,
            user_id: event.user_id,
        },
        rollup: Rollup {
            count: 1,
            by_status: Status::ALL.map(with),
            execution_time: time,
            input_tokens: event.input_tokens as u64,
            output_tokens: event.output_tokens as u64,
            cost: event.cost.parse().unwrap(),
            commands_executed: event.commands as u64,
            values: event.value.map(Values::of),
        },
    }
}

/// Those from one instant on and before another, of all in order.
pub(super) fn between(facts: &[Fact], from: Timestamp, to: Timestamp) -> &[Fact] {
    let before = |at: Timestamp| facts.partition_point(|fact| fact.at < at);
    &facts[before(from)..before(to)]
}
