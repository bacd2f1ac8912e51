-- Schemas, the extension, and who may enter.
--
-- The roles flowmeter_owner, flowmeter_sink and flowmeter_api are cluster-wide
-- and made by `flowmeter migrate` before this file runs (see README.md).

create extension if not exists timescaledb;

-- Nobody gets anything by merely being able to connect.
do $$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to flowmeter_sink, flowmeter_api', current_database());
    -- Needed to own a schema, for a migrating user that is not a superuser.
    execute format('grant create on database %I to flowmeter_owner', current_database());
end
$$;
-- TimescaleDB's functions (time_bucket …) live in public: usable, not writable.
revoke create on schema public from public;

create schema if not exists flowmeter;
alter schema flowmeter owner to flowmeter_owner;
create schema if not exists tenant;
alter schema tenant owner to flowmeter_owner;

revoke all on schema flowmeter, tenant from public;
grant usage on schema flowmeter to flowmeter_sink;
grant usage on schema tenant to flowmeter_api;
