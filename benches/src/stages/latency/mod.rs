//! From 202 to the push of a live view, against a record that goes through Kafka alone.

mod echo;
mod push;
mod watch;

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::harness::{
    Bound, Context, Outcome, Run, Stage,
    installation::{Installation, Service},
    statistics::Spread,
    worker::WorkerArgs,
};

/// Events and records a second.
const RATE: u64 = 1_000;
/// Seconds of each run that do not count.
const WARM_UP: u64 = 3;

/// The row.
#[derive(Debug)]
pub(super) struct Latency;

impl Stage for Latency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn about(&self) -> &'static str {
        "From the answer 202 to the message of a live view (WebSocket) that has the event, 1,000 \
         events a second in batches of 10, each with one that is looked for; everything in one \
         process (serve), with defaults. Against 1,000 records a second through Kafka alone, \
         from the producer's queue to a consumer's hand, with the producer that the gateway has \
         (acks=all, idempotent, linger 1 ms). Both in an open loop: each is sent when it is due."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Runtime::new()?;
        let installation = runtime.block_on(Installation::new())?;
        let topic = runtime.block_on(installation.topic("echo", 1));
        let mut service = installation.start(context, None, "serve", &[])?;
        service.until_ready()?;
        let seconds = context.choose(15, 30);
        let pairs = context.alternate(
            "latency",
            || ours(context, &installation, &service, seconds),
            || {
                let plan = echo::Plan {
                    topic: topic.clone(),
                    rate: RATE,
                    seconds,
                    warm_up: WARM_UP,
                };
                work(context, "latency-echo", &plan)
            },
        )?;
        service.end()?;
        let mut outcome = Outcome::default();
        for (told, value) in [("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms")] {
            let ours: Spread = pairs.iter().map(|pair| pair.ours.values[value]).collect();
            let echo: Spread = pairs.iter().map(|pair| pair.peer.values[value]).collect();
            let note = format!("{told}: {ours:.1} ms, echo {echo:.1} ms.");
            outcome.notes.push(note);
        }
        let p99 = |run: &Run| run.values["p99_ms"];
        for (name, values, bound) in [
            (
                "p99 above that of the echo, ms",
                pairs.iter().map(|p| p99(&p.ours) - p99(&p.peer)).collect(),
                25.0,
            ),
            (
                "p99 from 202 to the push, ms",
                pairs.iter().map(|p| p99(&p.ours)).collect(),
                100.0,
            ),
        ] {
            outcome.bounds.push(Bound {
                name: name.to_owned(),
                values,
                bound,
                at_least: false,
            });
        }
        Ok(outcome)
    }
}

fn ours(
    context: &Context,
    installation: &Installation,
    service: &Service,
    seconds: u64,
) -> anyhow::Result<Run> {
    let plan = push::Plan {
        url: format!("http://{}", service.address()),
        token: installation.token(Uuid::new_v4())?,
        rate: RATE,
        seconds,
        warm_up: WARM_UP,
    };
    let clock = service.clock();
    let mut run = work(context, "latency-push", &plan)?;
    run.parts = vec![clock.part("serve")];
    Ok(run)
}

/// Runs a side in a worker.
fn work(context: &Context, worker: &str, plan: &impl Serialize) -> anyhow::Result<Run> {
    let command = context.planned_worker(Some(&context.cores.load), worker, plan)?;
    context.measure(command, Duration::from_secs(600))
}

/// Our side, in a worker.
pub(super) fn push(args: &WorkerArgs) -> anyhow::Result<Run> {
    push::run(&args.read_plan()?)
}

/// The peer, in a worker.
pub(super) fn echo(args: &WorkerArgs) -> anyhow::Result<Run> {
    echo::run(&args.read_plan()?)
}
