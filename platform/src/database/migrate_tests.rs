//! Migrations by several at once, interrupted, repeated, and tampered with.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::PgPool;

use super::*;
use crate::test_support::TestDatabase;

/// What there is in our schemas, and who may do what with it.
const SCHEMA: &str = "
    select string_agg(line, E'\n' order by line) from (
        select format('%s %s.%s owner=%s acl=%s options=%s rls=%s/%s', c.relkind, n.nspname, c.relname,
            c.relowner::regrole, c.relacl, c.reloptions, c.relrowsecurity, c.relforcerowsecurity) as line
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('flowmeter', 'tenant')
        union all
        select format('%s.%s %s not null=%s default=%s', a.attrelid::regclass, a.attname,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        join pg_namespace n on n.oid = c.relnamespace
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where n.nspname in ('flowmeter', 'tenant') and a.attnum > 0 and not a.attisdropped
        union all
        select format('%s %s %s', schemaname, viewname, definition) from pg_views
        where schemaname in ('flowmeter', 'tenant')
        union all
        select indexdef from pg_indexes where schemaname = 'flowmeter'
        union all
        select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid))
        from pg_constraint k join pg_namespace n on n.oid = k.connamespace
        where n.nspname = 'flowmeter'
        union all
        select format('%s %s %s', polrelid::regclass, polname, pg_get_expr(polqual, polrelid)) from pg_policy
        union all
        select format('%s by %s every %s', hypertable_name, column_name, time_interval)
        from timescaledb_information.dimensions
        union all
        select format('%s %s', version, encode(checksum, 'hex')) from flowmeter.migrations
        union all
        select format('schema %s %s', nspname, nspacl) from pg_namespace
        where nspname in ('flowmeter', 'tenant', 'public')
    ) lines";

async fn schema(database: &TestDatabase) -> String {
    let owner = database.pool(Role::Owner).await;
    sqlx::query_scalar(SCHEMA).fetch_one(&owner).await.unwrap()
}

async fn migrated(database: &TestDatabase) -> Result<Applied, DatabaseError> {
    migrate(database.url(), &MigrateOptions::default()).await
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = TestDatabase::create_empty().await;
    let first = migrate(database.url(), &MigrateOptions::default())
        .await
        .unwrap();
    let second = migrate(database.url(), &MigrateOptions::default())
        .await
        .unwrap();
    assert_eq!(first.applied, first.total);
    assert_eq!((second.applied, second.total), (0, first.total));
}

#[tokio::test]
async fn ten_databases_of_a_cluster_and_twice_the_same_migrate_at_once() {
    let databases = join_all((0..10).map(|_| TestDatabase::create_empty())).await;
    let options = MigrateOptions::default();
    let twice = databases.iter().chain(&databases);
    let results = join_all(twice.map(|d| migrate(d.url(), &options))).await;
    let mut applied = 0;
    for result in results {
        let result = result.unwrap();
        assert!(result.applied <= result.total);
        applied += usize::from(result.applied > 0);
    }
    assert!(applied >= databases.len());
}

#[tokio::test]
async fn eight_at_once_make_one_schema() {
    let (once, at_once) = (
        TestDatabase::create().await,
        TestDatabase::create_empty().await,
    );
    let results = join_all((0..8).map(|_| migrated(&at_once))).await;
    for result in results {
        result.unwrap();
    }
    assert_eq!(schema(&at_once).await, schema(&once).await);
}

/// In the middle of a migration, with others waiting for it.
#[tokio::test]
async fn what_dies_in_the_middle_is_finished_by_the_next() {
    let database = TestDatabase::create_empty().await;
    let owner = database.pool(Role::Owner).await;
    // Whoever makes the first view waits for us.
    let pause = "create function public.pause() returns event_trigger language plpgsql as \
         $$ begin \
             if exists (select from pg_event_trigger_ddl_commands() where schema_name = 'tenant') \
             then perform pg_advisory_xact_lock_shared(1, 1); end if; \
         end $$; \
         create event trigger pause on ddl_command_end when tag in ('CREATE VIEW') \
         execute function public.pause()";
    sqlx::raw_sql(pause).execute(&owner).await.unwrap();
    let mut gate = owner.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(1, 1)")
        .execute(&mut *gate)
        .await
        .unwrap();
    let meanwhile = async {
        let victim = paused(&owner).await;
        let ended: bool = sqlx::query_scalar("select pg_terminate_backend($1, 10000)")
            .bind(victim)
            .fetch_one(&owner)
            .await
            .unwrap();
        assert!(ended);
        let made: i64 = sqlx::query_scalar("select count(*) from flowmeter.migrations")
            .fetch_one(&owner)
            .await
            .unwrap();
        gate.rollback().await.unwrap();
        made
    };
    let (results, made) = tokio::join!(join_all((0..8).map(|_| migrated(&database))), meanwhile);
    // Those before the one with views stay; of that one there is nothing.
    assert_eq!(made, 4);
    let failed = results.iter().filter(|result| result.is_err()).count();
    assert_eq!(failed, 1, "{results:?}");
    sqlx::raw_sql("drop event trigger pause; drop function public.pause()")
        .execute(&owner)
        .await
        .unwrap();
    assert_eq!(migrated(&database).await.unwrap().applied, 0);
    let once = TestDatabase::create().await;
    assert_eq!(schema(&database).await, schema(&once).await);
}

/// The process of the migration that waits at the gate.
async fn paused(owner: &PgPool) -> i32 {
    let waiting = "select pid from pg_locks where locktype = 'advisory' and not granted \
         and classid = 1 and objid = 1 and objsubid = 2 \
         and database = (select oid from pg_database where datname = current_database())";
    let found = async {
        loop {
            let pid: Option<i32> = sqlx::query_scalar(waiting)
                .fetch_optional(owner)
                .await
                .unwrap();
            match pid {
                Some(pid) => return pid,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap()
}

/// A released migration never changes, and none goes back.
#[tokio::test]
async fn a_changed_migration_and_one_of_a_newer_release_are_refused() {
    for (change, wanted) in [
        (
            "update flowmeter.migrations set checksum = '\\x00' where version = 2",
            "migration 2 was previously applied but has been modified",
        ),
        (
            "insert into flowmeter.migrations select 9999, 'later', now(), true, '\\x00', 0",
            "migration 9999 was previously applied but is missing",
        ),
    ] {
        let database = TestDatabase::create().await;
        let owner = database.pool(Role::Owner).await;
        sqlx::query(change).execute(&owner).await.unwrap();
        let before = schema(&database).await;
        let refused = migrated(&database).await.unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
        assert_eq!(schema(&database).await, before);
    }
}
