-- Which event a dead letter was, when its record could be read that far: with it a
-- producer finds out what became of an event by the id it knows.

set local role flowmeter_owner;

alter table flowmeter.dead_letters add column event_id uuid;
create index dead_letters_event on flowmeter.dead_letters (event_id) where event_id is not null;

create or replace view tenant.dead_letters with (security_barrier) as
    select * from flowmeter.dead_letters
    where organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid;

reset role;
