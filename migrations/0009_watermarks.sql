-- How far the sources of events were read: when a bucket of a rollup is complete.
--
-- The aggregator puts watermarks into every partition of the admitted events, so a source's
-- watermark holds once each of those partitions has been written up to it. A row is what one
-- of them said last.

set local role flowmeter_owner;

create table flowmeter.watermarks (
    kind               text        not null,
    source_partition   integer     not null,
    -- The partition of the admitted events that said so.
    admitted_partition integer     not null,
    -- No event of the source from before is expected any more.
    until              timestamptz not null,
    -- How many rows there are once every source was told in every partition.
    expected_rows      integer     not null,
    primary key (kind, source_partition, admitted_partition)
);
revoke all on flowmeter.watermarks from public;
grant select, insert, update, delete on flowmeter.watermarks to flowmeter_sink;

-- The instant before which no event of anybody is expected any more; null while some source
-- has not said. It is the installation's, and tells nothing of any tenant.
create view tenant.watermark with (security_barrier) as
    select min(until) as until from flowmeter.watermarks
    having count(*) >= max(expected_rows);
revoke all on tenant.watermark from public;
grant select on tenant.watermark to flowmeter_api;

-- The sink reads rollup deltas no more: it derives rollups from the events that it stores.
delete from flowmeter.cursors where topic like '%metrics.rollups';

reset role;
