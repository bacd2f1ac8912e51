//! The sink against a binary `COPY` of the same rows.

mod log;
mod tables;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use platform::database::Role;
use sqlx::PgPool;

use self::{
    log::Log,
    tables::{Copied, check, copy_in, copy_out},
};
use crate::harness::{
    Comparison, Context, Goal, Outcome, Pair, Part, Run, Stage,
    installation::{Installation, Service},
    process::{CpuClock, cpu_seconds},
};

/// Longest that a sink may need for all events.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// The row.
#[derive(Debug)]
pub(super) struct Sink;

impl Stage for Sink {
    fn name(&self) -> &'static str {
        "sink"
    }

    fn about(&self) -> &'static str {
        "One sink that reads a backlog of admitted events of workload W1 into an empty database, \
         with the rollups of all windows and scopes, against a binary COPY, in one transaction, \
         of the very rows that it left into the same empty tables. Both have all cores, the \
         database with them. The sink's clock starts with its first batch, which does not count, \
         since joining its group is no work of it; Kafka's processor time is not counted. \
         Events are what is counted, on both sides."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(run(context))
    }
}

async fn run(context: &Context) -> anyhow::Result<Outcome> {
    let events = context.choose(200_000, 1_000_000);
    let log = Log::write(context, events).await?;
    let mut outcome = Outcome::default();
    let mut pairs = Vec::new();
    for number in 0..=context.options.pairs {
        let (ours, left) = sink(context, &log).await?;
        let pool = left.database.pool(Role::Owner).await;
        let rows = copy_out(&pool).await?;
        ensure!(
            rows[0].rows == events,
            "the sink stored {} events of {events}",
            rows[0].rows
        );
        drop((pool, left));
        let peer = copy(&rows).await?;
        let all: u64 = rows.iter().map(|table| table.rows).sum();
        context.say(format!(
            "sink: pair {number}: {:.0}/s against {:.0}/s, {:.1} against {:.1} us of processor, \
             {all} rows",
            ours.rate(),
            peer.rate(),
            ours.cpu_micros_per_event(),
            peer.cpu_micros_per_event(),
        ));
        if number == 0 {
            outcome.notes.push(format!(
                "{events} events, which with their rollups are {all} rows of {} tables. Checked \
                 after every run: every event is stored, and both leave as many rows of each \
                 table.",
                rows.len()
            ));
        } else {
            pairs.push(Pair { ours, peer });
        }
    }
    outcome.comparisons.push(Comparison {
        name: "COPY".to_owned(),
        ours: "flowmeter sink".to_owned(),
        peer: "COPY … FROM STDIN (FORMAT binary)".to_owned(),
        unit: "events".to_owned(),
        goal: Goal::RateAtLeast(0.7),
        pairs,
        commands: vec!["bench --only sink".to_owned()],
    });
    Ok(outcome)
}

/// Runs a sink on an empty database until all events are stored.
async fn sink(context: &Context, log: &Log) -> anyhow::Result<(Run, Installation)> {
    let installation = Installation::new().await?;
    let pool = installation.database.pool(Role::Owner).await;
    let mut service = installation.start(context, None, "sink", &log.reading())?;
    let first = reach(&mut service, &pool, 1).await?;
    let (began, clock) = (Instant::now(), service.clock());
    let server = Backends::of(&pool).await?;
    ensure!(first < log.events, "everything was one batch");
    reach(&mut service, &pool, log.events).await?;
    let seconds = began.elapsed().as_secs_f64();
    let run = Run {
        events: log.events - first,
        seconds,
        parts: vec![clock.part("sink"), Backends::of(&pool).await?.part(&server)],
        ..Run::default()
    };
    service.end()?;
    Ok((run, installation))
}

/// Waits until the sink's cursors are past so many records; gives how many.
async fn reach(service: &mut Service, pool: &PgPool, wanted: u64) -> anyhow::Result<u64> {
    let sql = "select coalesce(sum(next_offset), 0)::bigint from flowmeter.cursors";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
        if found.unsigned_abs() >= wanted {
            return Ok(found.unsigned_abs());
        }
        service.must_run()?;
        if Instant::now() > deadline {
            bail!("the sink stored {found} of {wanted} events in {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn copy(rows: &[Copied]) -> anyhow::Result<Run> {
    let empty = Installation::new().await?;
    let pool = empty.database.pool(Role::Owner).await;
    let (began, own) = (Instant::now(), CpuClock::own());
    let server = copy_in(&pool, rows).await?;
    let run = Run {
        events: rows[0].rows,
        seconds: began.elapsed().as_secs_f64(),
        parts: vec![
            Part {
                name: "client".to_owned(),
                cpu_seconds: own.elapsed(),
                // With the rows, which it has read before.
                peak_bytes: 0,
            },
            server,
        ],
        ..Run::default()
    };
    check(&pool, rows).await?;
    Ok(run)
}

/// The server's processes of the sink, and what they had used at a moment.
struct Backends(HashMap<i32, f64>);

impl Backends {
    async fn of(pool: &PgPool) -> anyhow::Result<Self> {
        let sql = "select pid from pg_stat_activity \
             where datname = current_database() and application_name = 'flowmeter-sink'";
        let pids: Vec<i32> = sqlx::query_scalar(sql).fetch_all(pool).await?;
        ensure!(!pids.is_empty(), "the sink is not connected");
        let used = pids.into_iter().map(|pid| (pid, cpu_seconds(pid)));
        Ok(Self(used.collect()))
    }

    /// What they used since `before`; memory is shared by all of the server's processes, and
    /// not told.
    fn part(&self, before: &Self) -> Part {
        let since = |(pid, used): (&i32, &f64)| used - before.0.get(pid).unwrap_or(&0.0);
        Part {
            name: "PostgreSQL".to_owned(),
            cpu_seconds: self.0.iter().map(since).sum(),
            peak_bytes: 0,
        }
    }
}
