-- Raw events: one hypertable per kind, written by the sink alone.
--
-- No unique constraint on event_id: duplicates are admission's business, which
-- is a function of the log; the cursor makes a replay change nothing.
-- Free objects are jsonb, which cannot hold U+0000: the sink takes it out.

set local role flowmeter_owner;

create table flowmeter.command_executions (
    event_id           uuid        not null,
    organization_id    uuid        not null,
    user_id            uuid        not null,
    team_id            uuid,
    project_id         uuid,
    "timestamp"        timestamptz not null,
    command_name       text        not null,
    execution_time_ms  integer     not null,
    status             text        not null check (status in ('success', 'error', 'timeout', 'cancelled')),
    command_args       jsonb,
    error_message      text,
    context            jsonb,
    -- The log time of the record, and where in the log it is.
    received_at        timestamptz not null,
    source_partition   integer     not null,
    source_offset      bigint      not null
);

create table flowmeter.agent_interactions (
    event_id             uuid        not null,
    organization_id      uuid        not null,
    user_id              uuid        not null,
    team_id              uuid,
    project_id           uuid,
    "timestamp"          timestamptz not null,
    agent_name           text        not null,
    interaction_type     text        not null,
    execution_time_ms    integer     not null,
    status               text        not null check (status in ('success', 'error', 'timeout', 'cancelled')),
    input_tokens         bigint,
    output_tokens        bigint,
    cost_usd             numeric(38, 12),
    model                text,
    command_execution_id uuid,
    error_message        text,
    metadata             jsonb,
    received_at          timestamptz not null,
    source_partition     integer     not null,
    source_offset        bigint      not null
);

create table flowmeter.productivity_metrics (
    event_id         uuid             not null,
    organization_id  uuid             not null,
    user_id          uuid,
    team_id          uuid,
    project_id       uuid,
    "timestamp"      timestamptz      not null,
    metric_type      text             not null,
    metric_value     double precision not null,
    metric_unit      text,
    dimensions       jsonb,
    received_at      timestamptz      not null,
    source_partition integer          not null,
    source_offset    bigint           not null
);

create table flowmeter.user_sessions (
    event_id           uuid             not null,
    organization_id    uuid             not null,
    user_id            uuid             not null,
    team_id            uuid,
    project_id         uuid,
    "timestamp"        timestamptz      not null,
    session_id         text             not null,
    kind               text             not null check (kind in ('started', 'updated', 'ended')),
    session_start      timestamptz,
    session_end        timestamptz,
    duration_minutes   double precision,
    commands_executed  bigint,
    agents_used        text[],
    productivity_score double precision,
    context            jsonb,
    received_at        timestamptz      not null,
    source_partition   integer          not null,
    source_offset      bigint           not null
);

do $$
declare
    events text;
begin
    foreach events in array array['command_executions', 'agent_interactions', 'productivity_metrics', 'user_sessions']
    loop
        perform public.create_hypertable(
            format('flowmeter.%I', events)::regclass,
            public.by_range('timestamp', interval '1 day'),
            create_default_indexes => false
        );
        -- Keyset pages of an organization, of one user; one event by its id.
        execute format('create index %I on flowmeter.%I (organization_id, "timestamp" desc, event_id)', events || '_page', events);
        execute format('create index %I on flowmeter.%I (organization_id, user_id, "timestamp" desc)', events || '_user', events);
        execute format('create index %I on flowmeter.%I (event_id)', events || '_event', events);
    end loop;
end
$$;

reset role;
