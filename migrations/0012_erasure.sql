-- Erasure of users: that it was done, and what removed events had added to the rollups that
-- stay (docs/decisions/0017).

set local role flowmeter_owner;

create table flowmeter.erasures (
    erasure_id      uuid        not null primary key,
    organization_id uuid        not null,
    -- SHA-256 of 'organization_id:user_id': who knows the user can ask, nobody can list.
    user_hash       bytea       not null,
    mode            text        not null check (mode in ('anonymize', 'remove')),
    requested_by    text        not null,
    started_at      timestamptz not null default now(),
    -- Null while it runs, and for ever if it was interrupted.
    finished_at     timestamptz,
    raw_rows        bigint      not null default 0,
    rollups         bigint      not null default 0,
    dead_letters    bigint      not null default 0
);
create index erasures_user on flowmeter.erasures (user_hash);

-- No hypertable, so row security is free. The tenants' role has no policy and no grant.
alter table flowmeter.erasures enable row level security, force row level security;
create policy erasures_of_all on flowmeter.erasures to flowmeter_owner, flowmeter_sink
    using (true) with check (true);

-- As many rows of a minute and series as users were removed of it: no key. Scope is 'team',
-- the finest that such events still count in.
create table flowmeter.erased_rollups (like flowmeter.rollups_1m including defaults including constraints);
select public.create_hypertable(
    'flowmeter.erased_rollups', public.by_range('bucket_start', interval '7 days'),
    create_default_indexes => false
);
create index erased_rollups_time on flowmeter.erased_rollups (organization_id, bucket_start);

revoke all on flowmeter.erasures, flowmeter.erased_rollups from public;
grant select, insert, update on flowmeter.erasures to flowmeter_sink;
grant select, insert, update, delete on flowmeter.erased_rollups to flowmeter_sink;
-- Reconciliation counts them, too.
grant select on flowmeter.erased_rollups to flowmeter_jobs;

reset role;
