-- What users did in a day: their rollups of a day without names and histograms, added up by
-- whoever writes those (docs/decisions/0028). Months of hundreds of users are a dashboard's
-- greatest part, and this is a tenth of the rows, each a quarter as wide.
--
-- Code from before does not write it: stop older sinks and jobs first.

set local role flowmeter_owner;

create table flowmeter.rollups_1d_by_user (
    organization_id     uuid            not null,
    bucket_start        timestamptz     not null,
    -- Null: of the events without one.
    user_id             uuid,
    team_id             uuid,
    command_count       bigint          not null,
    command_error_count bigint          not null,
    agent_count         bigint          not null,
    agent_error_count   bigint          not null,
    -- Of agents.
    input_tokens        numeric(38, 0)  not null,
    output_tokens       numeric(38, 0)  not null,
    cost_usd            numeric(38, 12) not null,
    -- Who had no command and no interaction is here, too, with zeros: was active.
    unique nulls not distinct (organization_id, bucket_start, user_id, team_id)
) with (fillfactor = 70);
select public.create_hypertable('flowmeter.rollups_1d_by_user',
    public.by_range('bucket_start', interval '365 days'), create_default_indexes => false);

insert into flowmeter.rollups_1d_by_user
select organization_id, bucket_start, user_id, team_id,
    coalesce(sum(event_count) filter (where kind = 'command'), 0),
    coalesce(sum(error_count) filter (where kind = 'command'), 0),
    coalesce(sum(event_count) filter (where kind = 'agent'), 0),
    coalesce(sum(error_count) filter (where kind = 'agent'), 0),
    coalesce(sum(input_tokens) filter (where kind = 'agent'), 0),
    coalesce(sum(output_tokens) filter (where kind = 'agent'), 0),
    coalesce(sum(cost_usd) filter (where kind = 'agent'), 0)
from flowmeter.rollups_1d where scope = 'user'
group by organization_id, bucket_start, user_id, team_id
order by organization_id, bucket_start;

create view tenant.rollups_1d_by_user with (security_barrier) as
    select * from flowmeter.rollups_1d_by_user
    where organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid;
revoke all on flowmeter.rollups_1d_by_user, tenant.rollups_1d_by_user from public;
grant select on tenant.rollups_1d_by_user to flowmeter_api;
grant select, insert, update, delete on flowmeter.rollups_1d_by_user
    to flowmeter_sink, flowmeter_jobs;

alter table flowmeter.retention
    drop constraint retention_table_name_check,
    add constraint retention_table_name_check check (table_name in (
        'command_executions', 'agent_interactions', 'productivity_metrics', 'user_sessions',
        'rollups_1m', 'rollups_5m', 'rollups_15m', 'rollups_1h', 'rollups_1d',
        'rollups_1d_by_user', 'dead_letters'));

reset role;
