-- Refused records, whole; and the sink's place in the log.

set local role flowmeter_owner;

create table flowmeter.dead_letters (
    recorded_at           timestamptz not null,
    -- Null when the record could not be read far enough to tell: such a row is
    -- no tenant's and seen by none.
    organization_id       uuid,
    source_topic          text        not null,
    source_partition      integer     not null,
    source_offset         bigint      not null,
    stage                 text        not null,
    reason                text        not null,
    message               text        not null,
    "key"                 bytea,
    "value"               bytea,
    -- [{"name": …, "value": base64 or null}], in the record's order.
    headers               jsonb       not null default '[]',
    dead_letter_partition integer     not null,
    dead_letter_offset    bigint      not null
);
select public.create_hypertable('flowmeter.dead_letters', public.by_range('recorded_at', interval '7 days'), create_default_indexes => false);
create index dead_letters_page on flowmeter.dead_letters (organization_id, recorded_at desc, dead_letter_partition, dead_letter_offset);
create index dead_letters_source on flowmeter.dead_letters (source_topic, source_partition, source_offset);

-- The next offset to read, moved in the same transaction as the rows: reading
-- it FOR UPDATE and finding another value than the batch began at fences a
-- consumer that lost its partition.
create table flowmeter.cursors (
    consumer    text        not null,
    topic       text        not null,
    "partition" integer     not null check ("partition" >= 0),
    next_offset bigint      not null check (next_offset >= 0),
    updated_at  timestamptz not null default now(),
    primary key (consumer, topic, "partition")
);

reset role;
