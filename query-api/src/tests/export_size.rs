//! An export of millions of rows over HTTP, and the memory that it takes. Ignored, since it
//! takes minutes; `EXPORT_ROWS` (5,000,000) says how many, and `EXPORT_DATABASE_URL` names a
//! migrated database that has them.
//!
//! ```sh
//! query_api-… export_size --ignored --nocapture
//! ```

use std::{
    env,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use platform::{
    config::{Env, HttpConfig},
    database::{self, DatabaseUrl, connect},
    http::{layers, server},
    lifecycle::Shutdown,
    test_support::TestDatabase,
};
use sqlx::AssertSqlSafe;

use super::{
    raw::Caller,
    world::{THEIRS, World},
};

const RANGE: &str = "start_date=2026-01-01T00:00:00Z&end_date=2027-01-01T00:00:00Z";

/// What the largest process of ours may grow by while it exports, in MB.
const GROWTH: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and gigabytes"]
async fn millions_of_rows_take_no_more_memory_than_thousands() {
    let rows: u64 = env::var("EXPORT_ROWS").map_or(5_000_000, |rows| rows.parse().unwrap());
    let database = TestDatabase::create().await;
    let url = match env::var("EXPORT_DATABASE_URL") {
        Ok(url) => DatabaseUrl::parse(&url).unwrap(),
        Err(_) => {
            fill(&database, rows).await;
            database.url().clone()
        }
    };
    let pool = connect(&url, 4, "flowmeter-test", database::Role::Api, None).await;
    let world = World::over(database, pool.unwrap());
    let config = HttpConfig::from_env(&mut Env::from_pairs([("PORT", "0")]));
    let listener = server::bind(&config).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = layers::standard(world.app.clone(), "query", &config);
    let shutdown = Shutdown::new();
    let serving = tokio::spawn(server::serve(listener, router, config, shutdown.clone()));
    let caller = Caller {
        organization: THEIRS,
        ..Caller::admin()
    };
    let token = caller.token(&world);

    for (format, count) in [("ndjson", "wc -l"), ("csv", "wc -l"), ("parquet", "wc -c")] {
        let base = format!("http://{address}/api/metrics/export/{format}?kind=commands&{RANGE}");
        let run = async |url: String| {
            let script = format!(
                "set -o pipefail; curl -sS --fail -H 'Authorization: Bearer {token}' '{url}' | {count}"
            );
            let running = Arc::new(AtomicBool::new(true));
            let ended = Arc::clone(&running);
            let sampling = tokio::spawn(async move {
                let mut most = 0;
                while running.load(Ordering::Relaxed) {
                    most = resident_mb().max(most);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                most
            });
            let output = tokio::task::spawn_blocking(move || {
                Command::new("bash").args(["-c", &script]).output().unwrap()
            });
            let output = output.await.unwrap();
            ended.store(false, Ordering::Relaxed);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{format} {said}");
            let counted = String::from_utf8(output.stdout).unwrap();
            let counted: u64 = counted.trim().parse().unwrap();
            (counted, sampling.await.unwrap())
        };
        // The first thousands, so that what the process takes once and for all is there.
        run(format!(
            "{base}&name=build&user_id=00000000-0000-0000-0000-000000000005"
        ))
        .await;
        let before = resident_mb();
        let began = Instant::now();
        let (counted, most) = run(base).await;
        println!(
            "{format}: {counted} counted in {:.1} s; resident {before} MB before, at most {most} MB, {} MB after",
            began.elapsed().as_secs_f64(),
            resident_mb()
        );
        match format {
            "ndjson" => assert_eq!(counted, rows),
            "csv" => assert_eq!(counted, rows + 1),
            _ => {}
        }
        assert!(most < before + GROWTH, "{format} {before} {most}");
    }
    shutdown.trigger();
    serving.await.unwrap().unwrap();
}

async fn fill(database: &TestDatabase, rows: u64) {
    let owner = database.pool(database::Role::Owner).await;
    sqlx::query(AssertSqlSafe(format!(
        "insert into flowmeter.command_executions (event_id, organization_id, user_id, \
            \"timestamp\", command_name, execution_time_ms, status, command_args, error_message, \
            received_at, source_partition, source_offset) \
         select gen_random_uuid(), '{THEIRS}', lpad((n % 200)::text, 32, '0')::uuid, \
            '2026-06-01T00:00:00Z'::timestamptz + n * interval '0.5 seconds', \
            (array['build', 'test', 'deploy'])[1 + n % 3], n % 5000, 'success', \
            jsonb_build_object('argv', array['cargo', 'build', n::text]), \
            case when n % 7 = 0 then 'error: could not compile crate number ' || n end, \
            now(), n % 4, n \
         from generate_series(1, {rows}) n"
    )))
    .execute(&owner)
    .await
    .unwrap();
}

/// Of this process.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() / 1024
}
