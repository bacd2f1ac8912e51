-- What a version was before it is raised: by it the sink knows whether what it keeps in memory is
-- what is stored (docs/decisions/0029).

set local role flowmeter_owner;

-- As raise_versions. "before" is null for an organization that had no version, and otherwise the
-- last that was committed by anybody: the row is locked before it is read.
create function flowmeter.raise_versions_from(
    organizations uuid[], out organization_id uuid, out before bigint, out after bigint
) returns setof record
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old_versions jsonb;
begin
    select jsonb_object_agg(locked.organization_id, locked.version) into old_versions
    from (
        select v.organization_id, v.version from flowmeter.organization_versions v
        where v.organization_id = any (organizations)
        order by v.organization_id
        for update
    ) as locked;
    perform flowmeter.raise_versions(organizations);
    return query
        select v.organization_id, (old_versions ->> v.organization_id::text)::bigint, v.version
        from flowmeter.organization_versions v
        where v.organization_id = any (organizations);
end
$$;

revoke all on function flowmeter.raise_versions_from(uuid[]) from public;
grant execute on function flowmeter.raise_versions_from(uuid[]) to flowmeter_sink, flowmeter_jobs;

reset role;
