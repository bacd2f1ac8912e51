//! All services under load for minutes: nothing lost, lag bounded, memory bounded.

mod load;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use platform::{database::Role, telemetry::names};
use sqlx::PgPool;
use uuid::Uuid;

use self::load::Plan;
use crate::harness::{
    Bound, Context, Outcome, Run, Stage,
    installation::{Installation, Service},
    process::CpuClock,
    worker::WorkerArgs,
};

/// Between two looks at the lag.
const LOOK: Duration = Duration::from_secs(1);
/// For the last events to be stored.
const PATIENCE: Duration = Duration::from_secs(900);

/// The row.
#[derive(Debug)]
pub(super) struct Soak;

impl Stage for Soak {
    fn name(&self) -> &'static str {
        "soak"
    }

    fn about(&self) -> &'static str {
        "Gateway, aggregator, sink and query API as processes of their own, with the defaults, \
         and workload W1 as it happens (events of now, 5 % late) posted in batches of 100 in an \
         open loop, --rate events a second. Services, Kafka, the database and the load share all \
         cores. Lag is what the aggregator and the sink have not read of their topics, looked at \
         every second."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Runtime::new()?;
        let installation = runtime.block_on(Installation::new())?;
        let mut services = Vec::new();
        for name in ["gateway", "aggregator", "sink", "query"] {
            let mut service = installation.start(context, None, name, &[])?;
            service.until_ready()?;
            services.push((name, service));
        }
        let clocks: Vec<(&str, CpuClock)> = services
            .iter()
            .map(|(name, service)| (*name, service.clock()))
            .collect();
        let (rate, seconds) = (context.options.rate, context.choose(60, 600));
        let (run, lags) = loaded(context, &installation, &services, seconds)?;
        let pool = runtime.block_on(installation.database.pool(Role::Owner));
        let drained = runtime.block_on(stored(&pool, run.events))?;
        let parts = clocks.iter().map(|(name, clock)| clock.part(name));
        let parts: Vec<_> = parts.collect();
        for (_, mut service) in services {
            service.must_run()?;
            service.end()?;
        }
        let stored = runtime.block_on(check(&pool))?;
        let mut outcome = Outcome::default();
        let mut bound = |name: &str, value: f64, bound: f64, at_least: bool| {
            outcome.bounds.push(Bound {
                name: name.to_owned(),
                values: vec![value],
                bound,
                at_least,
            });
        };
        let lost = run.events as f64 - stored as f64;
        bound("accepted events that are not stored", lost, 0.0, false);
        let accepted = run.events as f64 / run.seconds;
        bound(
            "events accepted a second",
            accepted,
            rate as f64 * 0.99,
            true,
        );
        let growth = growth(&lags);
        bound(
            "growth of the lag in the second half, records a second",
            growth,
            rate as f64 * 0.01,
            false,
        );
        for part in &parts {
            let mib = part.peak_bytes as f64 / f64::from(1 << 20);
            bound(
                &format!("peak memory of {}, MB", part.name),
                mib * 1.048_576,
                150.0,
                false,
            );
        }
        let costs = parts.iter().map(|part| {
            let micros = part.cpu_seconds * 1e6 / run.events as f64;
            format!("{} {micros:.1}", part.name)
        });
        outcome.notes.push(format!(
            "{rate} events a second for {seconds} s: {} accepted, {:.0} refused for want of room, \
             {stored} stored, and as many in the rollups of a day. Posts took {:.1} ms (p50) and \
             {:.1} ms (p99) from when they were due. Largest lag {:.0} records; all were stored \
             {:.1} s after the last was accepted. Processor, microseconds an event: {}.",
            run.events,
            run.values["refused"],
            run.values["p50_ms"],
            run.values["p99_ms"],
            lags.iter().copied().fold(0.0, f64::max),
            drained.as_secs_f64(),
            costs.collect::<Vec<_>>().join(", "),
        ));
        Ok(outcome)
    }
}

/// Runs the load, and looks at the lag meanwhile.
fn loaded(
    context: &Context,
    installation: &Installation,
    services: &[(&str, Service)],
    seconds: u64,
) -> anyhow::Result<(Run, Vec<f64>)> {
    let named = |wanted: &str| {
        let service = services.iter().find(|(name, _)| *name == wanted);
        service.map(|(_, service)| service).context("it is started")
    };
    let readers = [named("aggregator")?, named("sink")?];
    let options = &context.options;
    let workload = options.workload();
    let organizations: BTreeSet<Uuid> = workload.series().iter().map(|s| s.organization).collect();
    let token = |id| anyhow::Ok((id, installation.token(id)?));
    let tokens = organizations.into_iter().map(token);
    let plan = Plan {
        address: named("gateway")?.address().to_owned(),
        tokens: tokens.collect::<anyhow::Result<_>>()?,
        seed: options.seed,
        series: options.series,
        rate: options.rate,
        seconds,
    };
    let command = context.planned_worker(None, "soak-load", &plan)?;
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut lags = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let lag: anyhow::Result<f64> = readers
                    .iter()
                    .map(|service| service.metric(names::CONSUMER_LAG))
                    .sum();
                lags.push(lag?);
                std::thread::sleep(LOOK);
            }
            anyhow::Ok(lags)
        });
        let run = context.measure(command, Duration::from_secs(seconds) + PATIENCE);
        ended.store(true, Ordering::Relaxed);
        let lags = looking
            .join()
            .map_err(|_| anyhow!("the looker panicked"))??;
        ensure!(lags.len() >= 4, "the load was too short to see a lag");
        Ok((run?, lags))
    })
}

/// How much the lag grows a second, from the third quarter's mean to the last one's.
fn growth(lags: &[f64]) -> f64 {
    let quarter = lags.len() / 4;
    let mean = |lags: &[f64]| lags.iter().sum::<f64>() / lags.len() as f64;
    let (third, last) = lags[2 * quarter..].split_at(quarter);
    (mean(&last[..quarter]) - mean(third)) / (quarter as f64 * LOOK.as_secs_f64())
}

/// Waits until so many events are stored; gives how long that took.
async fn stored(pool: &PgPool, wanted: u64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let sql = "select coalesce(sum(next_offset), 0)::bigint from flowmeter.cursors \
         where topic like '%admitted%'";
    loop {
        let found: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
        // Watermarks and ends of transactions have offsets, too.
        if found.unsigned_abs() >= wanted {
            let count = count(pool, "select count(*) from flowmeter.command_executions").await?;
            if count >= wanted {
                return Ok(began.elapsed());
            }
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "of {wanted} accepted events, the sink has read only {found}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// That rollups tell as many as there are, and nothing is a dead letter; gives how many are
/// stored.
async fn check(pool: &PgPool) -> anyhow::Result<u64> {
    let stored = count(pool, "select count(*) from flowmeter.command_executions").await?;
    let told = "select coalesce(sum(event_count), 0)::bigint from flowmeter.rollups_1d \
         where scope = 'organization'";
    let told = count(pool, told).await?;
    ensure!(
        told == stored,
        "{stored} events are stored, and rollups tell {told}"
    );
    let letters = count(pool, "select count(*) from flowmeter.dead_letters").await?;
    ensure!(letters == 0, "{letters} events are dead letters");
    Ok(stored)
}

async fn count(pool: &PgPool, sql: &'static str) -> anyhow::Result<u64> {
    let count: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
    Ok(count.unsigned_abs())
}

/// The load, in a worker.
pub(super) fn post(args: &WorkerArgs) -> anyhow::Result<Run> {
    load::run(&args.read_plan()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_that_grows_is_told_and_one_that_stays_is_not() {
        assert_eq!(growth(&[7.0; 40]), 0.0);
        let growing: Vec<f64> = (0..40).map(|second| f64::from(second) * 5.0).collect();
        assert!((growth(&growing) - 5.0).abs() < 1e-9);
    }
}
