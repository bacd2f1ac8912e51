-- Compression and its policies, where TimescaleDB's edition has them. Changes nothing where
-- that is done, and on the Apache edition.
--
-- Raw rows and short windows from an age on at which few events are late: late events, erasures
-- and repairs still reach a compressed chunk, but unpack what they touch. A segment is what a
-- query always names; the key's other columns are its order, so that an upsert unpacks few rows.
do $$
declare
    layout record;
begin
    if current_setting('timescaledb.license', true) is distinct from 'timescale' then
        return;
    end if;
    for layout in
        select l.* from (values
            ('command_executions',   'organization_id',        '"timestamp" desc, event_id',    7),
            ('agent_interactions',   'organization_id',        '"timestamp" desc, event_id',    7),
            ('productivity_metrics', 'organization_id',        '"timestamp" desc, event_id',    7),
            ('user_sessions',        'organization_id',        '"timestamp" desc, event_id',    7),
            ('rollups_1m',           'organization_id, scope', 'bucket_start desc, series_id',  7),
            ('rollups_5m',           'organization_id, scope', 'bucket_start desc, series_id', 14),
            ('rollups_15m',          'organization_id, scope', 'bucket_start desc, series_id', 14),
            ('rollups_1h',           'organization_id, scope', 'bucket_start desc, series_id', 60),
            ('rollups_1d',           'organization_id, scope', 'bucket_start desc, series_id', 730)
        ) as l(name, segment_by, order_by, after_days)
        join timescaledb_information.hypertables h
            on h.hypertable_schema = 'flowmeter' and h.hypertable_name = l.name
        where not h.compression_enabled
    loop
        -- A policy runs as the table's owner, whom the scheduler must be able to log in. Without
        -- a password nobody else can.
        if exists (select from pg_roles where rolname = 'flowmeter_owner' and not rolcanlogin) then
            alter role flowmeter_owner login;
        end if;
        execute format(
            'alter table flowmeter.%I set (timescaledb.compress, timescaledb.compress_segmentby = %L, timescaledb.compress_orderby = %L)',
            layout.name, layout.segment_by, layout.order_by
        );
        perform public.add_compression_policy(
            format('flowmeter.%I', layout.name)::regclass,
            compress_after => make_interval(days => layout.after_days),
            if_not_exists => true
        );
    end loop;
end
$$;
