-- What administrators may see of the jobs. It is the installation's, and tells nothing of any
-- other organization: no detail of a run but of one's own, and no message of an error.

set local role flowmeter_owner;

-- What the process that leads last said of its jobs.
create table flowmeter.job_plans (
    job        text        not null primary key,
    about      text        not null,
    -- As in JOB_<NAME>_SCHEDULE.
    schedule   text        not null,
    -- Null: by hand alone.
    next_at    timestamptz,
    updated_at timestamptz not null default now()
);
revoke all on flowmeter.job_plans from public;
grant select, insert, update, delete on flowmeter.job_plans to flowmeter_jobs;

-- A job's name is words with dashes between: a row with another name is not the jobs' own.
create view tenant.job_plans with (security_barrier) as
    select job, about, schedule, next_at from flowmeter.job_plans
    where job ~ '^[a-z]+(-[a-z]+)*$';

create view tenant.job_runs with (security_barrier) as
    select job, "trigger", attempt, started_at, ended_at, outcome,
        -- Of a reconciliation, the organization's own days.
        (select jsonb_agg(day)
            from jsonb_array_elements(
                case jsonb_typeof(details -> 'healed') when 'array' then details -> 'healed' end) as day
            where day ->> 'organization_id' = nullif(current_setting('app.current_org_id', true), '')
        ) as healed
    from flowmeter.job_runs
    where job ~ '^[a-z]+(-[a-z]+)*$';

-- The last measurement of tables and of the database.
create view tenant.storage with (security_barrier) as
    select ended_at as measured_at, details from flowmeter.job_runs
    where job = 'storage' and outcome = 'succeeded'
    order by id desc limit 1;

revoke all on tenant.job_plans, tenant.job_runs, tenant.storage from public;
grant select on tenant.job_plans, tenant.job_runs, tenant.storage to flowmeter_api;

reset role;
