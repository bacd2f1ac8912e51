-- When a dead letter's record was sent again, and which program it came from in the first
-- place. Null in older rows, while a letter is open, and where no program was named.

set local role flowmeter_owner;

alter table flowmeter.dead_letters
    add column replayed_at timestamptz,
    add column client text;

create or replace view tenant.dead_letters with (security_barrier) as
    select * from flowmeter.dead_letters
    where organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid;

reset role;
