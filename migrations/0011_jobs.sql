-- Jobs: their history, what they may remove, what they have found, and their role.
--
-- flowmeter_jobs owns nothing and may not delete a raw row. It removes rows through functions
-- that run with the owner's rights and delete only what lies before a boundary, which is
-- recorded first and never goes back: so nobody takes a day whose rows are partly gone for one
-- whose rollups are wrong.

do $$
begin
    execute format('grant connect on database %I to flowmeter_jobs', current_database());
end
$$;
grant usage on schema flowmeter to flowmeter_jobs;

set local role flowmeter_owner;

-- A row is one attempt at a job. The runner holds the job's advisory lock, so a row without an
-- outcome whose lock is free is of a process that died.
create table flowmeter.job_runs (
    id         bigint      generated always as identity primary key,
    job        text        not null,
    "trigger"  text        not null check ("trigger" in ('schedule', 'hand')),
    attempt    integer     not null check (attempt > 0),
    -- Which process.
    instance   text        not null,
    started_at timestamptz not null default clock_timestamp(),
    ended_at   timestamptz,
    outcome    text check (outcome in ('succeeded', 'failed', 'timed_out', 'interrupted', 'abandoned')),
    details    jsonb,
    error      text,
    check ((outcome is null) = (ended_at is null))
);
create index job_runs_latest on flowmeter.job_runs (job, started_at desc);

-- How long an organization's rows of a table are kept, where that differs from the settings.
create table flowmeter.retention (
    organization_id uuid    not null,
    table_name      text    not null check (table_name in (
        'command_executions', 'agent_interactions', 'productivity_metrics', 'user_sessions',
        'rollups_1m', 'rollups_5m', 'rollups_15m', 'rollups_1h', 'rollups_1d', 'dead_letters')),
    days            integer not null check (days between 1 and 36500),
    primary key (organization_id, table_name)
);

-- From when on an organization's rows of a table are all there; before, some may have been
-- removed. No row: nothing was. The organization of letters that are nobody's is all zeros.
create table flowmeter.retention_boundaries (
    organization_id uuid        not null,
    table_name      text        not null,
    since           timestamptz not null check (since = date_trunc('day', since, 'UTC')),
    primary key (organization_id, table_name)
);

-- Conditions that a health check found: what is true of each now.
create table flowmeter.alerts (
    condition  text             not null,
    -- Of what: an organization, a consumer, or nothing in particular.
    subject    text             not null,
    firing     boolean          not null,
    value      double precision not null,
    threshold  double precision not null,
    changed_at timestamptz      not null default now(),
    primary key (condition, subject)
);

-- Messages for the webhook, written with the change that they tell of and delivered in order.
create table flowmeter.alert_messages (
    number       bigint      generated always as identity primary key,
    -- The same in every attempt: by it a receiver knows what it has had.
    id           uuid        not null unique default gen_random_uuid(),
    body         jsonb       not null,
    created_at   timestamptz not null default now(),
    delivered_at timestamptz
);

-- What each organization did on a day, as it stood when the report was made.
create table flowmeter.performance_reports (
    day             date        not null,
    organization_id uuid        not null,
    report          jsonb       not null,
    made_at         timestamptz not null default now(),
    primary key (day, organization_id)
);

-- Records from when on rows are all there, before any is removed. It never goes back, and it
-- never reaches the last day.
create function flowmeter.move_retention_boundary(
    organization uuid, of_table text, new_since timestamptz
) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new_since > now() - interval '1 day' then
        raise exception 'rows of the last day are not to be removed';
    end if;
    insert into flowmeter.retention_boundaries as b (organization_id, table_name, since)
    values (organization, of_table, new_since)
    on conflict (organization_id, table_name) do update set since = excluded.since
        where b.since < excluded.since;
end
$$;

-- Removes a chunk whose rows all lie before the boundaries of their organizations; says whether
-- they did.
create function flowmeter.drop_expired_chunk(
    of_table text, starts timestamptz, ends timestamptz
) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    chunk regclass;
    is_expired boolean;
begin
    select format('%I.%I', chunk_schema, chunk_name)::regclass into chunk
    from timescaledb_information.chunks
    where hypertable_schema = 'flowmeter' and hypertable_name = of_table
        and range_start = starts and range_end = ends;
    if chunk is null then
        return false;
    end if;
    -- Nobody may add a row that was not looked at.
    execute format('lock table %s in share row exclusive mode', chunk);
    execute format(
        'select not exists (select from %s c where not exists (
            select from flowmeter.retention_boundaries b
            where b.organization_id = coalesce(c.organization_id, ''00000000-0000-0000-0000-000000000000'')
                and b.table_name = $1 and b.since >= $2))', chunk)
    into is_expired using of_table, ends;
    if is_expired then
        perform public.drop_chunks(
            format('flowmeter.%I', of_table)::regclass, older_than => ends, newer_than => starts);
    end if;
    return is_expired;
end
$$;

-- Deletes an organization's rows of a range, if its boundary lies behind it; says how many.
create function flowmeter.delete_expired_rows(
    of_table text, organization uuid, starts timestamptz, ends timestamptz
) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    time_column text;
    deleted bigint;
begin
    if not exists (
        select from flowmeter.retention_boundaries b
        where b.organization_id = organization and b.table_name = of_table and b.since >= ends
    ) then
        raise exception 'no boundary of % covers % up to %', organization, of_table, ends;
    end if;
    select column_name into strict time_column from timescaledb_information.dimensions
    where hypertable_schema = 'flowmeter' and hypertable_name = of_table;
    execute format(
        'delete from flowmeter.%1$I where %2$I >= $2 and %2$I < $3 and (organization_id = $1
            or organization_id is null and $1 = ''00000000-0000-0000-0000-000000000000'')',
        of_table, time_column)
    using organization, starts, ends;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

do $$
declare
    object text;
begin
    foreach object in array array['job_runs', 'alerts', 'alert_messages', 'performance_reports']
    loop
        execute format('revoke all on flowmeter.%I from public', object);
        execute format('grant select, insert, update, delete on flowmeter.%I to flowmeter_jobs', object);
    end loop;
    -- Rollups are healed.
    foreach object in array array['rollups_1m', 'rollups_5m', 'rollups_15m', 'rollups_1h', 'rollups_1d']
    loop
        execute format('grant select, insert, update, delete on flowmeter.%I to flowmeter_jobs', object);
    end loop;
    foreach object in array array[
        'command_executions', 'agent_interactions', 'productivity_metrics', 'user_sessions',
        'dead_letters', 'cursors', 'watermarks', 'retention', 'retention_boundaries'
    ]
    loop
        execute format('revoke all on flowmeter.%I from public', object);
        execute format('grant select on flowmeter.%I to flowmeter_jobs', object);
    end loop;
end
$$;
grant select on flowmeter.retention_boundaries to flowmeter_sink;

-- Plain tables with rows of organizations. The tenants' role has no policy and no grant.
do $$
declare
    object text;
begin
    foreach object in array array['retention', 'retention_boundaries', 'performance_reports']
    loop
        execute format('alter table flowmeter.%I enable row level security, force row level security', object);
        execute format(
            'create policy %1$I on flowmeter.%2$I to flowmeter_owner, flowmeter_jobs, flowmeter_sink
             using (true) with check (true)', object || '_of_all', object);
    end loop;
end
$$;

revoke all on function
    flowmeter.move_retention_boundary(uuid, text, timestamptz),
    flowmeter.drop_expired_chunk(text, timestamptz, timestamptz),
    flowmeter.delete_expired_rows(text, uuid, timestamptz, timestamptz)
from public;
grant execute on function
    flowmeter.move_retention_boundary(uuid, text, timestamptz),
    flowmeter.drop_expired_chunk(text, timestamptz, timestamptz),
    flowmeter.delete_expired_rows(text, uuid, timestamptz, timestamptz)
to flowmeter_jobs;

reset role;
