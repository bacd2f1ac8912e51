-- Which state an organization's rows are in: by it an answer is kept for as long as it is true.
--
-- Whoever changes rows that answers are made of raises the version of their organizations in
-- the same transaction, and those who listen are told when it is committed
-- (docs/decisions/0025). Code from before does not: stop older sinks and jobs first.

set local role flowmeter_owner;

create table flowmeter.organization_versions (
    -- All zeros: the installation, whose version is that of the watermarks.
    organization_id uuid   not null primary key,
    -- Microseconds since 1970 when it was raised, or one more than the last if that is more:
    -- a database that was restored never comes to a version again that others remember.
    version         bigint not null
    -- Written with every batch: with room on its page a row need not be put into the index again.
) with (fillfactor = 50);

-- No hypertable, so row security is free. The tenants' role has no policy and no grant.
alter table flowmeter.organization_versions enable row level security, force row level security;
create policy organization_versions_of_all on flowmeter.organization_versions
    to flowmeter_owner, flowmeter_jobs, flowmeter_sink using (true) with check (true);
revoke all on flowmeter.organization_versions from public;
grant select, insert, update on flowmeter.organization_versions to flowmeter_sink, flowmeter_jobs;

-- To be called last in a transaction: the rows are locked until it ends, in the order of their
-- ids, so that two who do so never wait in a ring.
create function flowmeter.raise_versions(organizations uuid[]) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    told bigint;
begin
    with raised as (
        insert into flowmeter.organization_versions as v (organization_id, version)
        select o.id, (extract(epoch from clock_timestamp()) * 1000000)::bigint
        from (select distinct id from unnest(organizations) as id order by id) as o
        on conflict (organization_id) do update
            set version = greatest(v.version + 1, excluded.version)
        returning organization_id, version
    ),
    -- A message holds less than 8000 bytes.
    numbered as (
        select organization_id || ' ' || version as change, (row_number() over () - 1) / 100 as message
        from raised
    ),
    messages as (select string_agg(change, ',') as changes from numbered group by message)
    select count(pg_notify('flowmeter_changes', changes)) into told from messages;
end
$$;

-- An organization's own version, and that of the watermarks. An organization without a row has
-- never had any.
create view tenant.organization_version with (security_barrier) as
    select v.organization_id, v.version, coalesce((
        select w.version from flowmeter.organization_versions w
        where w.organization_id = '00000000-0000-0000-0000-000000000000'), 0) as watermark_version
    from flowmeter.organization_versions v
    where v.organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid;
revoke all on tenant.organization_version from public;
grant select on tenant.organization_version to flowmeter_api;

-- As before, and raises versions.
create or replace function flowmeter.drop_expired_chunk(
    of_table text, starts timestamptz, ends timestamptz
) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    chunk regclass;
    is_expired boolean;
    organizations uuid[];
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
        -- No answer that is kept is made of dead letters.
        if of_table <> 'dead_letters' then
            execute format('select array(select distinct organization_id from %s)', chunk)
            into organizations;
        end if;
        perform public.drop_chunks(
            format('flowmeter.%I', of_table)::regclass, older_than => ends, newer_than => starts);
        perform flowmeter.raise_versions(organizations);
    end if;
    return is_expired;
end
$$;

-- As before, and raises the version.
create or replace function flowmeter.delete_expired_rows(
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
    if deleted > 0 and of_table <> 'dead_letters' then
        perform flowmeter.raise_versions(array[organization]);
    end if;
    return deleted;
end
$$;

revoke all on function flowmeter.raise_versions(uuid[]) from public;
grant execute on function flowmeter.raise_versions(uuid[]) to flowmeter_sink, flowmeter_jobs;

-- Organizations that have rows already.
select flowmeter.raise_versions(array(select distinct organization_id from flowmeter.rollups_1d));

reset role;
