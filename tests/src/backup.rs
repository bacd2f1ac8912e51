//! docs/OPERATIONS.md, "Backup and restore", done.

use std::io::Write as _;
use std::process::{Command, Stdio};

use chrono::{TimeDelta, Utc};
use flowmeter::rebuild::{RebuildArgs, Source};
use platform::auth::Role as Caller;
use platform::database::{Role, TenantDb};
use platform::test_support::required_env;
use sink::rebuild::Difference;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::Pipeline;
use crate::rebuild::{NONE, rebuild, send_over, until_stored};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/stack");

/// Runs a program of PostgreSQL's of the server's own version, and gives what it prints.
fn postgres(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(SCRIPT)
        .env("STACK_DIR", required_env("FLOWMETER_STACK"))
        .arg(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // Ends its input when it is through, or when the program has ended before.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_goes_on_where_the_dump_was_made() {
    let mut pipeline = Pipeline::start().await;
    let client = Client::of(&pipeline, Uuid::new_v4(), Caller::Admin);
    send_over(&pipeline, &client, 2000, 30).await;
    until_stored(&pipeline, 2000).await;
    let url = pipeline.database.url_text().to_owned();
    // While everything runs.
    let dump = postgres("pg_dump", &["--format=custom", &url], &[]);
    send_over(&pipeline, &client, 1500, 30).await;
    until_stored(&pipeline, 3500).await;
    pipeline.stop().await;

    pipeline.database.wipe().await;
    let pool = pipeline.database.pool(Role::Owner).await;
    for statement in [
        "create extension timescaledb",
        "select public.timescaledb_pre_restore()",
    ] {
        sqlx::raw_sql(statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
    postgres("pg_restore", &["--exit-on-error", "--dbname", &url], &dump);
    let pool = pipeline.database.pool(Role::Owner).await;
    sqlx::raw_sql("select public.timescaledb_post_restore()")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::raw_sql("analyze").execute(&pool).await.unwrap();
    pipeline.pool = pool;
    assert_eq!(pipeline.number(STORED).await, 2000);

    // A dump of a database has no privileges of the database itself.
    assert!(pipeline.number(PUBLIC_MAY).await > 0);
    flowmeter::migrate::run(&pipeline.migrate_config())
        .await
        .unwrap();
    assert_eq!(pipeline.number(PUBLIC_MAY).await, 0);
    let api = TenantDb::new(pipeline.database.pool(Role::Api).await);
    api.verify_role().await.unwrap();

    // The sink reads on from the cursors that the dump has.
    pipeline.resume().await;
    until_stored(&pipeline, 3500).await;
    assert_eq!(pipeline.number(STORED).await, 3500);
    assert_eq!(pipeline.number(PLACES).await, 3500);
    let everything = RebuildArgs {
        from: Utc::now() - TimeDelta::days(3),
        to: None,
        organization: None,
        source: Source::Database,
        dry_run: true,
    };
    let summary = rebuild(&pipeline, &everything).await;
    let difference = Difference {
        compared: 0,
        ..summary.difference
    };
    assert_eq!((summary.events, difference), (3500, NONE), "{summary}");
    pipeline.stop().await;
}

/// Raw rows.
const STORED: &str = "select (select count(*) from flowmeter.command_executions) \
     + (select count(*) from flowmeter.agent_interactions) \
     + (select count(*) from flowmeter.productivity_metrics) \
     + (select count(*) from flowmeter.user_sessions)";
/// Records they come from.
const PLACES: &str = "select count(*) from ( \
     select 1, source_partition, source_offset from flowmeter.command_executions \
     union select 2, source_partition, source_offset from flowmeter.agent_interactions \
     union select 3, source_partition, source_offset from flowmeter.productivity_metrics \
     union select 4, source_partition, source_offset from flowmeter.user_sessions) places";
/// What anybody at all may do with the database.
const PUBLIC_MAY: &str = "select count(*) from unnest(array['connect', 'temp', 'create']) privilege \
     where has_database_privilege('public', current_database(), privilege)";
