-- What each role may touch.
--
-- flowmeter_api reads the views of schema `tenant` and nothing else. A view
-- runs with its owner's rights, so the base tables need no grant. The setting
-- reads as an empty string after a transaction-local set_config has ended,
-- hence nullif: without an organization, every view is empty.

set local role flowmeter_owner;

do $$
declare
    source text;
begin
    foreach source in array array[
        'command_executions', 'agent_interactions', 'productivity_metrics', 'user_sessions',
        'rollups_1m', 'rollups_5m', 'rollups_15m', 'rollups_1h', 'rollups_1d', 'dead_letters'
    ]
    loop
        execute format(
            'create view tenant.%1$I with (security_barrier) as
             select * from flowmeter.%1$I
             where organization_id = nullif(current_setting(''app.current_org_id'', true), '''')::uuid',
            source
        );
        execute format('revoke all on flowmeter.%1$I, tenant.%1$I from public', source);
        execute format('grant select on tenant.%I to flowmeter_api', source);
        execute format('grant select, insert, update, delete on flowmeter.%I to flowmeter_sink', source);
    end loop;
end
$$;

revoke all on flowmeter.cursors from public;
grant select, insert, update, delete on flowmeter.cursors to flowmeter_sink;

reset role;
