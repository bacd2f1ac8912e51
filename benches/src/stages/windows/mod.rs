//! All windows and scopes of the workload, in memory, against engines for streams.

mod expected;
mod input;
mod peer;
mod result;

use std::time::Duration;

use anyhow::Context as _;
use schemas::Window;
use sink::memory::MemoryRollups;

use self::{
    expected::Expected,
    input::Input,
    peer::{PEERS, Peer},
};
use crate::{
    harness::{
        Comparison, Context, Goal, Outcome, Run, Stage, peers,
        worker::{Stopwatch, WorkerArgs},
    },
    workload::Workload,
};

/// Events that are made at once, outside of the timed part.
const CHUNK: usize = 1_000;
/// Events between two flushes: a large batch of the sink's, `SINK_BATCH_RECORDS` unless set.
const FLUSH: u64 = 40_000;
/// For one run of a peer.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// The row.
#[derive(Debug)]
pub(super) struct Windows;

impl Stage for Windows {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn about(&self) -> &'static str {
        "Count, errors, sum, minimum and maximum of the execution time of every series of three \
         scopes (organization, team, user) in every bucket of five windows (1m, 5m, 15m, 1h, \
         1d), of workload W1, in memory, on one core. Ours also keeps all statuses and a \
         histogram, as the product does: events are added up as in a batch of the sink, which \
         is expanded and merged into a table in memory every 40,000 events. Peers get the \
         events from memory; the clock starts with the first event and ends with the last \
         result, so their start-up is left out."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        outcome.notes.push(
            "Checked after every run: the rows of both sides are those of a plain sum of every \
             event into every bucket, made by code that shares nothing with the product."
                .to_owned(),
        );
        for peer in &PEERS {
            let events = context.choose(peer.short, peer.full);
            let version = match peers::version(context, peer.name) {
                Ok(version) => version,
                Err(error) => {
                    context.say(format!("windows: {} cannot be had: {error:#}", peer.name));
                    outcome.absent.push(peers::absent(peer.name, &error));
                    continue;
                }
            };
            outcome
                .versions
                .insert(peer.name.to_owned(), version.clone());
            let series = context.options.series;
            let input = Input::write(context, events, series)?;
            let expected = Expected::of(context.options.seed, events, series);
            match compare(context, peer, &version, &input, &expected) {
                Ok(comparison) => outcome.comparisons.push(comparison),
                // Ours is checked by itself, so that a fault of it is no fault of the peer.
                Err(error) => {
                    ours_once(context, &input, &expected).context("ours")?;
                    context.say(format!("windows: {}: {error:#}", peer.name));
                    outcome.absent.push(peers::absent(peer.name, &error));
                }
            }
        }
        Ok(outcome)
    }
}

fn compare(
    context: &Context,
    peer: &Peer,
    version: &str,
    input: &Input,
    expected: &Expected,
) -> anyhow::Result<Comparison> {
    let name = format!("windows, {}", peer.name);
    let pairs = context.alternate(
        &name,
        || ours_once(context, input, expected),
        || {
            let result = context.scratch.join("windows-peer.csv");
            let run = context.measure(peer.command(context, input, &result), PATIENCE)?;
            expected.check(&result)?;
            Ok(run)
        },
    )?;
    let ours = format!(
        "bench worker windows-ours {}",
        ours_arguments(context, input).join(" ")
    );
    let theirs = crate::harness::shown(&peer.command(context, input, "RESULT".as_ref()));
    Ok(Comparison {
        name: peer.name.to_owned(),
        ours: "sink::memory, one thread".to_owned(),
        peer: format!("{} {version}", peer.name),
        unit: "events".to_owned(),
        goal: Goal::RateAtLeast(peer.goal),
        pairs,
        commands: vec![ours, theirs],
    })
}

fn ours_arguments(context: &Context, input: &Input) -> Vec<String> {
    vec![
        format!("--events={}", input.events),
        format!("--series={}", context.options.series),
        format!("--seed={}", context.options.seed),
    ]
}

fn ours_once(context: &Context, input: &Input, expected: &Expected) -> anyhow::Result<Run> {
    let result = context.scratch.join("windows-ours.csv");
    let mut arguments = ours_arguments(context, input);
    arguments.push(format!("--result={}", result.display()));
    let command = context.worker("windows-ours", &arguments)?;
    let run = context.measure(command, PATIENCE)?;
    expected.check(&result)?;
    Ok(run)
}

/// Our side.
pub(super) fn ours(args: &WorkerArgs) -> anyhow::Result<Run> {
    let mut workload = Workload::new(args.seed, args.series);
    let mut rollups = MemoryRollups::new(&Window::ALL);
    let mut stopwatch = Stopwatch::new();
    let mut done = 0;
    while done < args.events {
        let count = (args.events - done).min(CHUNK as u64);
        let events = workload.events(count as usize);
        done += count;
        stopwatch.time(|| {
            events.iter().for_each(|event| rollups.add(event));
            if done % FLUSH == 0 || done == args.events {
                rollups.flush();
            }
        });
    }
    let run = stopwatch.run(done);
    if let Some(path) = &args.result {
        result::write(path, &rollups)?;
    }
    Ok(run)
}
