//! I3: rollups equal raw rows, in every window, scope and series, to the last figure.

use platform::database::rollup_columns::BY_USER;
use sqlx::{AssertSqlSafe, PgPool, Row};

use crate::rollups_equal_raw::WINDOWS;

/// What a rollup says, in the same words of raw rows and of stored ones.
const COLUMNS: &str = "organization_id, scope, bucket_start, kind, name, model, \
    team_id, project_id, user_id, event_count, success_count, error_count, timeout_count, \
    cancelled_count, execution_time_sum, execution_time_min, execution_time_max, input_tokens, \
    output_tokens, cost_usd, commands_executed, value_count, value_sum, value_min, value_max";

/// Raw rows of all kinds as one table.
const EVENTS: &str = "
    select organization_id, 'command' as kind, command_name as name, null::text as model,
        team_id, project_id, user_id, \"timestamp\", status, execution_time_ms::bigint as ms,
        0::bigint as input, 0::bigint as output, 0::numeric as cost, 0::bigint as commands,
        null::float8 as value
    from flowmeter.command_executions
    union all
    select organization_id, 'agent', agent_name, model, team_id, project_id, user_id,
        \"timestamp\", status, execution_time_ms, coalesce(input_tokens, 0),
        coalesce(output_tokens, 0), coalesce(cost_usd, 0), 0, null
    from flowmeter.agent_interactions
    union all
    select organization_id, 'metric', metric_type, null, team_id, project_id, user_id,
        \"timestamp\", null, null, 0, 0, 0, 0, metric_value
    from flowmeter.productivity_metrics
    union all
    select organization_id, 'session', kind, null, team_id, project_id, user_id,
        \"timestamp\", null,
        case when kind = 'ended' then coalesce(round(duration_minutes * 60000),
            floor(extract(epoch from session_end - session_start) * 1000))::bigint end,
        0, 0, 0, case when kind = 'ended' then coalesce(commands_executed, 0) else 0 end,
        case when kind = 'ended' then productivity_score end
    from flowmeter.user_sessions";

/// The rows that one side has and the other has not.
fn differences(window: &str, interval: &str) -> String {
    format!(
        "with since as (
            select organization_id, max(since) as since from flowmeter.retention_boundaries
            where table_name <> 'dead_letters' group by 1),
        events as (
            select * from ({EVENTS}) e where not exists (select from since s
                where s.organization_id = e.organization_id and e.\"timestamp\" < s.since)),
        raw as (
            select organization_id, scope,
                date_bin('{interval}', \"timestamp\", 'epoch'::timestamptz) as bucket_start,
                kind, name, model,
                case when scope <> 'organization' then team_id end as team_id,
                case when scope = 'user' then project_id end as project_id,
                case when scope = 'user' then user_id end as user_id,
                count(*) as event_count,
                count(*) filter (where status = 'success') as success_count,
                count(*) filter (where status = 'error') as error_count,
                count(*) filter (where status = 'timeout') as timeout_count,
                count(*) filter (where status = 'cancelled') as cancelled_count,
                coalesce(sum(ms), 0) as execution_time_sum,
                min(ms) as execution_time_min, max(ms) as execution_time_max,
                sum(input) as input_tokens, sum(output) as output_tokens,
                sum(cost) as cost_usd, sum(commands) as commands_executed,
                count(value) as value_count, sum(value::numeric) as value_sum,
                min(value) as value_min, max(value) as value_max
            from events cross join (values ('organization'), ('team'), ('user')) s(scope)
            group by 1, 2, 3, 4, 5, 6, 7, 8, 9),
        rollups as (
            select organization_id, scope, bucket_start, kind, name, model, team_id, project_id,
                user_id, event_count, success_count, error_count, timeout_count,
                cancelled_count, execution_time_sum, execution_time_min, execution_time_max,
                input_tokens, output_tokens, cost_usd, commands_executed,
                case when value_sum is null then 0
                    else coalesce(value_count, event_count) end as value_count,
                value_sum, value_min, value_max
            from flowmeter.rollups_{window} r where not exists (select from since s
                where s.organization_id = r.organization_id and r.bucket_start < s.since))
        select count(*) over () as differences, d.side || ': ' || row_to_json(d)::text as row
        from (
            select 'raw' as side, r.* from
                (select {COLUMNS} from raw except all select {COLUMNS} from rollups) r
            union all
            select 'rollup' as side, r.* from
                (select {COLUMNS} from rollups except all select {COLUMNS} from raw) r) d
        order by bucket_start, kind, name, scope, side limit 4"
    )
}

/// Compares in one snapshot of the database. What `when` says is part of the failure.
pub(crate) async fn rollups_equal_raw(pool: &PgPool, when: &str) {
    let mut snapshot = pool
        .begin_with("begin isolation level repeatable read read only")
        .await
        .unwrap();
    for (window, interval) in WINDOWS {
        let rows = sqlx::query(AssertSqlSafe(differences(window, interval)))
            .fetch_all(&mut *snapshot)
            .await
            .unwrap();
        let shown: Vec<String> = rows.iter().map(|row| row.get("row")).collect();
        let count: i64 = rows.first().map_or(0, |row| row.get("differences"));
        assert!(
            rows.is_empty(),
            "I3, {when}: {count} rows differ in rollups_{window}, first:\n{}",
            shown.join("\n")
        );
    }
    let users = sqlx::query(AssertSqlSafe(format!(
        "(({BY_USER}) except all table flowmeter.rollups_1d_by_user) \
         union all (table flowmeter.rollups_1d_by_user except all ({BY_USER}))"
    )));
    let users = users.fetch_all(&mut *snapshot).await.unwrap();
    assert_eq!(
        users.len(),
        0,
        "I3, {when}: days of users differ from rollups_1d"
    );
    snapshot.commit().await.unwrap();
}
