//! The plans that migrations/README.md shows, on a small scale: chunks outside of the time asked
//! for are left out, and each query has its index, through the views and for the API's role.

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::{Role, TenantDb};
use crate::test_support::TestDatabase;

/// Ten organizations of ten users in two teams, eight hours a day, forty days; raw rows of the
/// last twenty.
const FILL: [&str; 4] = [
    "insert into flowmeter.rollups_1h (organization_id, scope, bucket_start, series_id, kind, name, \
        team_id, user_id, event_count) \
     select lpad(o::text, 32, '0')::uuid, scope, \
        date_trunc('day', now(), 'UTC') - d * interval '1 day' + h * interval '1 hour', \
        md5(scope || u)::uuid, 'command', 'build', \
        case when scope <> 'organization' then lpad((u % 2)::text, 32, '0')::uuid end, \
        case when scope = 'user' then lpad(u::text, 32, '0')::uuid end, 1 \
     from generate_series(1, 10) o, generate_series(1, 40) d, generate_series(8, 15) h, \
        unnest(array['organization', 'team', 'user'], array[1, 2, 10]) as s(scope, many), \
        generate_series(1, many) u",
    "insert into flowmeter.command_executions (event_id, organization_id, user_id, \"timestamp\", \
        command_name, execution_time_ms, status, received_at, source_partition, source_offset) \
     select gen_random_uuid(), lpad(o::text, 32, '0')::uuid, lpad(u::text, 32, '0')::uuid, \
        date_trunc('day', now(), 'UTC') - d * interval '1 day' + n * interval '9 minutes', \
        'build', 5, 'success', now(), 0, n \
     from generate_series(1, 10) o, generate_series(1, 20) d, generate_series(1, 10) u, \
        generate_series(1, 20) n",
    "insert into flowmeter.dead_letters (recorded_at, organization_id, source_topic, \
        source_partition, source_offset, stage, reason, message, dead_letter_partition, dead_letter_offset) \
     select date_trunc('day', now(), 'UTC') - d * interval '1 day' + n * interval '9 minutes', \
        lpad(o::text, 32, '0')::uuid, 't', 0, n, 's', 'invalid', 'm', 0, n \
     from generate_series(1, 10) o, generate_series(1, 30) d, generate_series(1, 50) n",
    "analyze flowmeter.rollups_1h, flowmeter.command_executions, flowmeter.dead_letters",
];

/// A query, how many chunks it may look into, and the index it uses.
type Case = (&'static str, std::ops::RangeInclusive<usize>, &'static str);

const CASES: [Case; 10] = [
    // A day, and a month, of the organization.
    (
        "select * from tenant.rollups_1h where scope = 'organization' \
         and bucket_start >= now() - interval '2 days' and bucket_start < now() order by bucket_start",
        1..=2,
        "_rollups_1h_pkey",
    ),
    (
        "select * from tenant.rollups_1h where scope = 'team' \
         and team_id = '00000000-0000-0000-0000-000000000001' \
         and bucket_start >= now() - interval '25 days' and bucket_start < now() order by bucket_start",
        1..=2,
        "_rollups_1h_organization_id_team_id_bucket_sta",
    ),
    (
        "select * from tenant.rollups_1h where scope = 'user' \
         and user_id = '00000000-0000-0000-0000-000000000003' \
         and bucket_start >= now() - interval '25 days' and bucket_start < now() order by bucket_start",
        1..=2,
        "_rollups_1h_organization_id_user_id_bucket_sta",
    ),
    // A slice of a list, of all and of one user.
    (
        "select * from tenant.command_executions where \"timestamp\" >= now() - interval '3 days' \
         and \"timestamp\" < now() - interval '2 days' order by \"timestamp\" desc, event_id limit 101",
        1..=2,
        "_command_executions_page",
    ),
    (
        "select * from tenant.command_executions where \"timestamp\" >= now() - interval '9 days' \
         and user_id = '00000000-0000-0000-0000-000000000003' \
         and \"timestamp\" < now() order by \"timestamp\" desc, event_id limit 101",
        8..=10,
        "_command_executions_user",
    ),
    // A receipt, of which nothing but the id is known: every chunk, each by its index.
    (
        "select * from tenant.command_executions \
         where event_id = any(array['00000000-0000-0000-0000-000000000001'::uuid])",
        20..=21,
        "_command_executions_event",
    ),
    (
        "select reason, count(*) from tenant.dead_letters \
         where recorded_at >= now() - interval '5 days' and recorded_at < now() group by reason",
        1..=2,
        "_dead_letters_page",
    ),
    // What each user of a month did, as the dashboard asks for it, and how many there were: by
    // the key, or by the index of users.
    (
        "select user_id, sum(event_count) filter (where kind = 'command') from \
         (select user_id, kind, event_count from tenant.rollups_1h where scope = 'user' \
         and bucket_start >= now() - interval '25 days' and bucket_start < now()) rollups group by user_id",
        1..=2,
        "_rollups_1h_",
    ),
    // The same hours of some weeks, each looked up by itself.
    (
        "select bucket_start, kind, histogram from tenant.rollups_1h where scope = 'organization' \
         and bucket_start >= now() - interval '22 days' and bucket_start < now() \
         and ((bucket_start >= now() - interval '22 days' and bucket_start < now() - interval '21 days') \
         or (bucket_start >= now() - interval '1 day' and bucket_start < now())) \
         and kind = any(array['command', 'agent'])",
        1..=2,
        "_rollups_1h_pkey",
    ),
    // Whether there was anything before.
    (
        "select exists (select from tenant.rollups_1h where scope = 'organization' \
         and bucket_start >= '0001-01-01Z' and bucket_start < now() - interval '20 days')",
        1..=2,
        "_rollups_1h_pkey",
    ),
];

async fn filled(owner: &PgPool) {
    for statement in FILL {
        sqlx::query(statement).execute(owner).await.unwrap();
    }
}

#[tokio::test]
async fn each_query_leaves_out_chunks_and_has_its_index() {
    let database = TestDatabase::create().await;
    filled(&database.pool(Role::Owner).await).await;
    let tenants = TenantDb::new(database.pool(Role::Api).await);
    for (query, chunks, index) in CASES {
        let mut transaction = tenants.begin(Uuid::from_u128(3)).await.unwrap();
        let explain = AssertSqlSafe(format!("explain (costs off) {query}"));
        let plan: Vec<String> = sqlx::query_scalar(explain)
            .fetch_all(transaction.connection())
            .await
            .unwrap();
        let plan = plan.join("\n");
        // A bitmap is of the chunk that is named by its own line.
        let names_chunk = |l: &&str| l.contains(" on _hyper_") && !l.contains("Bitmap Index Scan");
        let scans = plan.lines().filter(names_chunk).count();
        assert!(chunks.contains(&scans), "{query}\n{plan}");
        assert!(plan.contains(index), "{query}\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{query}\n{plan}");
    }
}
