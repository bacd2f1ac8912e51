//! What each role may do, on a real TimescaleDB.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::*;
use crate::test_support::TestDatabase;

const VIEWS: [&str; 10] = [
    "command_executions",
    "agent_interactions",
    "productivity_metrics",
    "user_sessions",
    "rollups_1m",
    "rollups_5m",
    "rollups_15m",
    "rollups_1h",
    "rollups_1d",
    "dead_letters",
];

async fn insert_command(sink: &PgPool, organization: Uuid, days_ago: i32) {
    sqlx::query(
        "insert into flowmeter.command_executions (event_id, organization_id, user_id, \"timestamp\", \
         command_name, execution_time_ms, status, received_at, source_partition, source_offset) \
         values ($1, $2, $3, now() - make_interval(days => $4), 'build', 5, 'success', now(), 0, 1)",
    )
    .bind(Uuid::now_v7())
    .bind(organization)
    .bind(Uuid::nil())
    .bind(days_ago)
    .execute(sink)
    .await
    .unwrap();
}

fn denied<T: std::fmt::Debug>(result: Result<T, sqlx::Error>) -> bool {
    let error = result.unwrap_err();
    // insufficient_privilege
    error.as_database_error().and_then(|e| e.code()).as_deref() == Some("42501")
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_and_nothing_else() {
    let database = TestDatabase::create().await;
    let sink = database.pool(Role::Sink).await;
    let (ours, theirs) = (Uuid::new_v4(), Uuid::new_v4());
    insert_command(&sink, ours, 0).await;
    insert_command(&sink, theirs, 0).await;
    insert_command(&sink, theirs, 1).await;

    let api = database.pool(Role::Api).await;
    let tenants = TenantDb::new(api.clone());
    tenants.verify_role().await.unwrap();
    for (organization, expected) in [(ours, 1_i64), (theirs, 2), (Uuid::new_v4(), 0)] {
        let mut tx = tenants.begin(organization).await.unwrap();
        let seen: i64 = sqlx::query_scalar("select count(*) from tenant.command_executions")
            .fetch_one(tx.connection())
            .await
            .unwrap();
        assert_eq!(seen, expected);
        tx.finish();
    }

    // Outside such a transaction, even on a connection that carried one, there is nothing.
    for view in VIEWS {
        let seen: i64 =
            sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from tenant.{view}")))
                .fetch_one(&api)
                .await
                .unwrap();
        assert_eq!(seen, 0, "{view}");
    }
}

#[tokio::test]
async fn the_api_role_gets_at_no_table_chunk_or_other_role() {
    let database = TestDatabase::create().await;
    let sink = database.pool(Role::Sink).await;
    insert_command(&sink, Uuid::new_v4(), 0).await;
    let owner = database.pool(Role::Owner).await;
    let chunk: String = sqlx::query_scalar(
        "select format('%I.%I', chunk_schema, chunk_name) from timescaledb_information.chunks \
         where hypertable_name = 'command_executions'",
    )
    .fetch_one(&owner)
    .await
    .unwrap();

    let api = database.pool(Role::Api).await;
    let mut statements: Vec<String> = VIEWS
        .iter()
        .map(|t| format!("select from flowmeter.{t}"))
        .collect();
    statements.push(format!("select from {chunk}"));
    let superuser: String =
        sqlx::query_scalar("select quote_ident(rolname) from pg_roles where rolsuper limit 1")
            .fetch_one(&owner)
            .await
            .unwrap();
    statements.push(format!("set role {superuser}"));
    statements.extend(
        [
            "select from flowmeter.cursors",
            "select from flowmeter.migrations",
            "set role flowmeter_owner",
            "set role flowmeter_sink",
            "delete from tenant.command_executions",
            "create table public.x ()",
            "create table tenant.x ()",
        ]
        .map(str::to_owned),
    );
    for statement in statements {
        let result = sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(&api)
            .await;
        assert!(denied(result), "{statement}");
    }
}

#[tokio::test]
async fn the_sink_writes_tables_and_cannot_become_the_owner() {
    let database = TestDatabase::create().await;
    let sink = database.pool(Role::Sink).await;
    sqlx::query("insert into flowmeter.cursors values ('sink', 't', 0, 5)")
        .execute(&sink)
        .await
        .unwrap();
    assert!(denied(
        sqlx::query("set role flowmeter_owner").execute(&sink).await
    ));
    assert!(denied(
        sqlx::query("drop table flowmeter.cursors")
            .execute(&sink)
            .await
    ));
}

#[tokio::test]
async fn the_jobs_delete_no_raw_row_that_lies_behind_no_boundary() {
    let database = TestDatabase::create().await;
    let sink = database.pool(Role::Sink).await;
    let organization = Uuid::new_v4();
    insert_command(&sink, organization, 100).await;
    let jobs = database.pool(Role::Jobs).await;
    for statement in [
        "set role flowmeter_owner",
        "set role flowmeter_sink",
        "delete from flowmeter.command_executions",
        "truncate flowmeter.rollups_1d",
        "update flowmeter.retention_boundaries set since = now()",
        "insert into flowmeter.retention values (gen_random_uuid(), 'rollups_1d', 1)",
        "update flowmeter.cursors set next_offset = 0",
        "select from flowmeter.migrations",
        "select from tenant.command_executions",
        "create table flowmeter.x ()",
        "create table public.x ()",
    ] {
        assert!(
            denied(sqlx::query(statement).execute(&jobs).await),
            "{statement}"
        );
    }
    // TimescaleDB's own code for it is another.
    let dropped =
        sqlx::query("select drop_chunks('flowmeter.command_executions', older_than => now())");
    assert!(dropped.execute(&jobs).await.is_err());
    let chunk: (DateTime<Utc>, DateTime<Utc>) =
        sqlx::query_as("select range_start, range_end from timescaledb_information.chunks where hypertable_name = 'command_executions'")
            .fetch_one(&jobs)
            .await
            .unwrap();
    let drop_chunk = || async {
        sqlx::query_scalar::<_, bool>(
            "select flowmeter.drop_expired_chunk('command_executions', $1, $2)",
        )
        .bind(chunk.0)
        .bind(chunk.1)
        .fetch_one(&jobs)
        .await
        .unwrap()
    };
    assert!(!drop_chunk().await);
    let deleted =
        sqlx::query("select flowmeter.delete_expired_rows('command_executions', $1, $2, $3)")
            .bind(organization)
            .bind(chunk.0)
            .bind(chunk.1);
    assert!(deleted.execute(&jobs).await.is_err());
    let move_to = |to: DateTime<Utc>| {
        sqlx::query("select flowmeter.move_retention_boundary($1, 'command_executions', $2)")
            .bind(organization)
            .bind(to)
            .execute(&jobs)
    };
    assert!(move_to(Utc::now()).await.is_err(), "the last day stays");
    move_to(chunk.1).await.unwrap();
    move_to(chunk.0).await.unwrap();
    // It did not go back, so the chunk goes.
    assert!(drop_chunk().await);
    for role in [Role::Api, Role::Sink] {
        let pool = database.pool(role).await;
        let call = "select flowmeter.drop_expired_chunk('command_executions', now(), now())";
        assert!(denied(sqlx::query(call).execute(&pool).await), "{role:?}");
    }
}

#[tokio::test]
async fn a_role_that_owns_or_reads_tables_is_refused() {
    let database = TestDatabase::create().await;
    let owner = TenantDb::new(database.pool(Role::Owner).await);
    let Err(DatabaseError::Role(faults)) = owner.verify_role().await else {
        panic!("the owner was let in");
    };
    assert!(faults.contains(&RoleFault::Superuser));
    assert!(
        faults
            .iter()
            .any(|fault| matches!(fault, RoleFault::Owns(..)))
    );

    let sink = TenantDb::new(database.pool(Role::Sink).await);
    let Err(DatabaseError::Role(faults)) = sink.verify_role().await else {
        panic!("the sink's role was let in");
    };
    assert!(
        matches!(faults[..], [RoleFault::ReadsTables(13.., _)]),
        "{faults:?}"
    );
}

#[tokio::test]
async fn a_tenants_transaction_cannot_write() {
    let database = TestDatabase::create().await;
    let tenants = TenantDb::new(database.pool(Role::Api).await);
    let mut tx = tenants.begin(Uuid::new_v4()).await.unwrap();
    let written = sqlx::query("create temporary table x ()")
        .execute(tx.connection())
        .await;
    assert!(written.is_err());
}

/// A time range must reach the chunks through the view, or every query reads all of history.
#[tokio::test]
async fn a_time_range_excludes_chunks_through_the_tenant_view() {
    let database = TestDatabase::create().await;
    let sink = database.pool(Role::Sink).await;
    let organization = Uuid::new_v4();
    for day in 0..6 {
        insert_command(&sink, organization, day).await;
    }
    let tenants = TenantDb::new(database.pool(Role::Api).await);
    let mut tx = tenants.begin(organization).await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select count(*) from tenant.command_executions where \"timestamp\" >= now() - interval '1 hour'",
    )
    .fetch_all(tx.connection())
    .await
    .unwrap();
    let plan = plan.join("\n");
    println!("{plan}");
    let scanned = plan.matches("_chunk ").count();
    assert!((1..=2).contains(&scanned), "{plan}");
}

#[tokio::test]
async fn a_transaction_begins_on_another_connection_when_the_server_has_ended_one() {
    let database = TestDatabase::create().await;
    let owner = database.pool(Role::Owner).await;
    let tenants = TenantDb::new(database.pool(Role::Api).await);
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and usename = 'flowmeter_api'";
    for _ in 0..3 {
        let first = tenants.begin(Uuid::nil()).await.unwrap();
        let second = tenants.begin(Uuid::nil()).await.unwrap();
        first.finish();
        second.finish();
        let ended: i64 = sqlx::query_scalar(end).fetch_one(&owner).await.unwrap();
        assert!(ended > 0);
        let mut transaction = tenants.begin(Uuid::nil()).await.unwrap();
        let one: i32 = sqlx::query_scalar("select 1")
            .fetch_one(transaction.connection())
            .await
            .unwrap();
        assert_eq!(one, 1);
    }
}
