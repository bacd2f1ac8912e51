//! The sink, from Kafka to committed rows, against a binary `COPY` of the same rows into the
//! same empty tables: in one run, in turns, as a ratio. `COPY` is what PostgreSQL can take at
//! most from one connection; it neither reads Kafka, nor adds up, nor merges.
//!
//! Needs the stack. `BENCH_EVENTS` (100000), `BENCH_PAIRS` (5) and `BENCH_SINKS` (1: how many
//! instances share the partitions) are read from the environment.
#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod support;

use std::time::{Duration, Instant};

use benches::harness::{process::CpuClock, statistics::Spread};
use platform::{
    database::Role, http::health::Health, lifecycle::Shutdown, test_support::TestDatabase,
};
use sink::SinkConfig;
use sqlx::PgPool;

use support::{
    cpu::backends,
    log::Log,
    tables::{Copied, copy_in, copy_out},
};

/// Memory is used as in `flowmeter`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// What one run took.
struct Run {
    rows: i64,
    seconds: f64,
    /// Of the process and of the server's processes.
    cpu: [f64; 2],
}

impl Run {
    fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    fn print(&self, name: &str) {
        let [own, server] = self.cpu;
        let per_core = self.rows as f64 / (own + server);
        println!(
            "  {name:<6} {:>8} rows in {:>6.2} s: {:>8.0} rows/s; {own:.2} + {server:.2} s of \
             processor, {per_core:.0} rows/s of one core",
            self.rows,
            self.seconds,
            self.rows_per_second()
        );
    }
}

/// Runs sinks on an empty database until all events are stored. The clock starts with the
/// first batch, which is not counted: joining the group is no work of theirs.
async fn sinks(log: &Log, count: usize) -> (Run, TestDatabase) {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Owner).await;
    let shutdown = Shutdown::new();
    let config = SinkConfig::from_env(&mut log.env(&database));
    let running: Vec<_> = (0..count)
        .map(|_| {
            let health = Health::new("sink", "bench").component("sink");
            tokio::spawn(sink::run(config.clone(), health, shutdown.clone()))
        })
        .collect();
    let read = "select coalesce(sum(next_offset), 0)::bigint from flowmeter.cursors";
    let first = reach(&pool, read, 1).await;
    let (began, own) = (Instant::now(), CpuClock::own());
    let before = rows(&pool).await;
    let server = backends(&pool).await;
    assert!(
        first < log.events,
        "everything was one batch: take more events"
    );
    reach(&pool, read, log.events).await;
    let seconds = began.elapsed().as_secs_f64();
    let after = backends(&pool).await;
    let run = Run {
        rows: rows(&pool).await - before,
        seconds,
        cpu: [own.elapsed(), after - server],
    };
    shutdown.trigger();
    for sink in running {
        sink.await.expect("no panic").expect("it ends");
    }
    (run, database)
}

async fn reach(pool: &PgPool, query: &'static str, wanted: i64) -> i64 {
    loop {
        let found: i64 = sqlx::query_scalar(query)
            .fetch_one(pool)
            .await
            .expect("the database answers");
        if found >= wanted {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Events, which alone are counted as rows: those of rollups differ with the batches.
async fn rows(pool: &PgPool) -> i64 {
    let sql = "select (select count(*) from flowmeter.command_executions) \
        + (select count(*) from flowmeter.agent_interactions)";
    let count = sqlx::query_scalar(sql).fetch_one(pool).await;
    count.expect("the database answers")
}

async fn copy(copied: &[Copied]) -> Run {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Owner).await;
    let (began, own) = (Instant::now(), CpuClock::own());
    let server = copy_in(&pool, copied).await;
    let (seconds, own) = (began.elapsed().as_secs_f64(), own.elapsed());
    Run {
        rows: rows(&pool).await,
        seconds,
        cpu: [own, server],
    }
}

#[tokio::main]
async fn main() {
    let events = setting("BENCH_EVENTS", 100_000);
    let (pairs, count) = (setting("BENCH_PAIRS", 5), setting("BENCH_SINKS", 1));
    let log = Log::write(events).await;
    println!("{events} events, {count} sink(s), {pairs} pairs after one to warm up");
    let mut ratios = Vec::new();
    let mut speeds = Vec::new();
    for pair in 0..=pairs {
        let (sink, database) = sinks(&log, count).await;
        let copied = copy_out(&database.pool(Role::Owner).await).await;
        drop(database);
        let copy = copy(&copied).await;
        if pair == 0 {
            let all: i64 = copied.iter().map(|table| table.rows).sum();
            println!(
                "with rollups these are {all} rows of {} tables",
                copied.len()
            );
            continue;
        }
        sink.print("sink");
        copy.print("copy");
        ratios.push(sink.rows_per_second() / copy.rows_per_second());
        speeds.push(sink.rows_per_second());
    }
    let (ratio, speed): (Spread, Spread) =
        (ratios.into_iter().collect(), speeds.into_iter().collect());
    println!(
        "sink / copy: {:.2} (median; {:.2} to {:.2}); {:.0} events/s",
        ratio.median, ratio.min, ratio.max, speed.median
    );
}
