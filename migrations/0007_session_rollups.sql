-- Rollups of sessions: a kind of series more, and two numbers more.
--
-- A session that ended has its duration in execution_time_* and histogram, its productivity
-- score in value_*. Rows from before, and rows that code from before writes meanwhile, mean
-- the same without the new columns.

set local role flowmeter_owner;

do $$
declare
    rollups text;
begin
    foreach rollups in array array['rollups_1m', 'rollups_5m', 'rollups_15m', 'rollups_1h', 'rollups_1d']
    loop
        -- The check has the name of the first table in all five. What passed it passes the
        -- new one, so no row need be read.
        execute format(
            'alter table flowmeter.%I
                drop constraint rollups_1m_kind_check,
                add constraint rollups_1m_kind_check
                    check (kind in (''command'', ''agent'', ''metric'', ''session'')) not valid,
                -- How many of the events have a value; null: all of them.
                add column value_count bigint,
                -- In sessions that ended.
                add column commands_executed numeric(38, 0) not null default 0',
            rollups
        );
        execute format(
            'create or replace view tenant.%1$I with (security_barrier) as
             select * from flowmeter.%1$I
             where organization_id = nullif(current_setting(''app.current_org_id'', true), '''')::uuid',
            rollups
        );
    end loop;
end
$$;

reset role;
