-- Takes TimescaleDB's functions that change something from everybody but the roles that need
-- them: the query API reads. In 2.19 one of them, merge_chunks, ends the whole server when it is
-- called in a certain way, by whomever. An update of the extension may bring new ones.
do $$
declare
    routine regprocedure;
    ours    text;
begin
    select string_agg(quote_ident(rolname), ', ') into ours from pg_roles
    where rolname ~ '^flowmeter_' and rolname <> 'flowmeter_api';
    for routine in
        select p.oid::regprocedure
        from pg_proc p
        join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        join pg_extension e on e.oid = d.refobjid
        where e.extname = 'timescaledb' and p.provolatile = 'v'
            and has_function_privilege('public', p.oid, 'execute')
    loop
        execute format('revoke execute on routine %s from public', routine);
        execute format('grant execute on routine %s to %s', routine, ours);
    end loop;
end
$$;
