-- Rollups: one hypertable per window, merged by the sink.
--
-- A row is a mergeable partial aggregate of one series in one bucket.
-- series_id is a UUIDv5 over kind, name, model, team, project and user, so that
-- the key needs no nullable columns.

set local role flowmeter_owner;

create table flowmeter.rollups_1m (
    organization_id     uuid            not null,
    scope               text            not null check (scope in ('organization', 'team', 'user')),
    bucket_start        timestamptz     not null,
    series_id           uuid            not null,
    kind                text            not null check (kind in ('command', 'agent', 'metric')),
    name                text            not null,
    model               text,
    team_id             uuid,
    project_id          uuid,
    user_id             uuid,
    event_count         bigint          not null default 0,
    success_count       bigint          not null default 0,
    error_count         bigint          not null default 0,
    timeout_count       bigint          not null default 0,
    cancelled_count     bigint          not null default 0,
    -- Milliseconds.
    execution_time_sum  numeric(38, 0)  not null default 0,
    execution_time_min  bigint,
    execution_time_max  bigint,
    -- Exponential histogram of execution time, in the encoding of the crate `schemas`.
    histogram           bytea           not null default '',
    input_tokens        numeric(38, 0)  not null default 0,
    output_tokens       numeric(38, 0)  not null default 0,
    cost_usd            numeric(38, 12) not null default 0,
    value_sum           numeric(50, 12),
    value_min           double precision,
    value_max           double precision,
    updated_at          timestamptz     not null default now(),
    primary key (organization_id, scope, bucket_start, series_id)
);
-- Each for the only scope that has such rows by the million; an index that holds every
-- row would cost each write twice.
create index on flowmeter.rollups_1m (organization_id, user_id, bucket_start) where scope = 'user';
create index on flowmeter.rollups_1m (organization_id, team_id, bucket_start) where scope = 'team';

-- "Including all" takes the checks, defaults, key and indexes along.
create table flowmeter.rollups_5m  (like flowmeter.rollups_1m including all);
create table flowmeter.rollups_15m (like flowmeter.rollups_1m including all);
create table flowmeter.rollups_1h  (like flowmeter.rollups_1m including all);
create table flowmeter.rollups_1d  (like flowmeter.rollups_1m including all);

-- A rollup is written again with every flush while its window is open. With room on its page
-- it need not be put into the indexes again (a heap-only update).
alter table flowmeter.rollups_1m  set (fillfactor = 70);
alter table flowmeter.rollups_5m  set (fillfactor = 70);
alter table flowmeter.rollups_15m set (fillfactor = 70);
alter table flowmeter.rollups_1h  set (fillfactor = 70);
alter table flowmeter.rollups_1d  set (fillfactor = 70);

select public.create_hypertable('flowmeter.rollups_1m',  public.by_range('bucket_start', interval '1 day'),    create_default_indexes => false);
select public.create_hypertable('flowmeter.rollups_5m',  public.by_range('bucket_start', interval '7 days'),   create_default_indexes => false);
select public.create_hypertable('flowmeter.rollups_15m', public.by_range('bucket_start', interval '7 days'),   create_default_indexes => false);
select public.create_hypertable('flowmeter.rollups_1h',  public.by_range('bucket_start', interval '30 days'),  create_default_indexes => false);
select public.create_hypertable('flowmeter.rollups_1d',  public.by_range('bucket_start', interval '365 days'), create_default_indexes => false);

reset role;
