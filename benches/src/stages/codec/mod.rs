//! Our Avro codec against the library below it, used by hand.

mod peer;

use std::{hint::black_box, time::Duration};

use anyhow::ensure;
use schemas::{
    Event, EventKind,
    codec::{WriterSchema, decode_event, encode_event, event_schema},
};

use self::peer::Peer;
use crate::{
    harness::{
        Comparison, Context, Goal, Outcome, Run, Stage,
        worker::{Stopwatch, WorkerArgs},
    },
    workload::Workload,
};

/// Events that are made at once, outside of the timed part; few enough to stay in the cache.
const CHUNK: usize = 1_000;
/// Events that are checked before anything is timed.
const CHECKED: usize = 100_000;
const KIND: EventKind = EventKind::CommandExecution;

/// The row.
#[derive(Debug)]
pub(super) struct Codec;

impl Stage for Codec {
    fn name(&self) -> &'static str {
        "codec"
    }

    fn about(&self) -> &'static str {
        "Writing and reading command events of workload W1 as Avro: schemas::codec against \
         serde_avro_fast with one plain struct, one schema, one configuration and one buffer \
         that are used again. One thread, events in memory."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        check(context.options.seed)?;
        let events = context.choose(2_000_000_u64, 10_000_000);
        let mut outcome = Outcome::default();
        outcome.notes.push(format!(
            "Checked before: both write the same bytes and read the same event from them, for \
             {CHECKED} events."
        ));
        for way in ["encode", "decode"] {
            let arguments = [
                format!("--events={events}"),
                format!("--seed={}", context.options.seed),
            ];
            let run = |side: &str| {
                let command = context.worker(&format!("codec-{way}-{side}"), &arguments)?;
                context.measure(command, Duration::from_secs(600))
            };
            let name = format!("codec {way}");
            outcome.comparisons.push(Comparison {
                pairs: context.alternate(&name, || run("ours"), || run("peer"))?,
                name: way.to_owned(),
                ours: "schemas::codec".to_owned(),
                peer: "serde_avro_fast".to_owned(),
                unit: "events".to_owned(),
                goal: Goal::TimeAtMost(1.2),
                commands: ["ours", "peer"]
                    .map(|side| format!("bench worker codec-{way}-{side} {}", arguments.join(" ")))
                    .to_vec(),
            });
        }
        Ok(outcome)
    }
}

/// Which codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Peer,
}

/// That both sides do the same.
fn check(seed: u64) -> anyhow::Result<()> {
    let events = Workload::new(seed, 1_000).events(CHECKED);
    let schema = WriterSchema::parse(event_schema(KIND)).map_err(anyhow::Error::msg)?;
    let peer = Peer::new()?;
    let mut encoder = peer.encoder();
    for event in &events {
        let bytes = encode_event(event).map_err(anyhow::Error::msg)?;
        let plain = peer::Command::from(event);
        ensure!(
            encoder.encode(&plain)? == bytes,
            "other bytes for {event:?}"
        );
        ensure!(
            peer.decode(&bytes)? == plain,
            "the peer reads another event than {event:?}"
        );
        ensure!(
            decode_event(KIND, &schema, &bytes)? == *event,
            "we read another than {event:?}"
        );
    }
    Ok(())
}

/// Writes events, which are made outside of the timed part.
pub(super) fn encode(args: &WorkerArgs, side: Side) -> anyhow::Result<Run> {
    let peer = Peer::new()?;
    let mut encoder = peer.encoder();
    let mut stopwatch = Stopwatch::new();
    let events = chunks(args, |events| match side {
        Side::Ours => stopwatch.time(|| {
            for event in events {
                black_box(encode_event(black_box(event)).map_err(anyhow::Error::msg)?);
            }
            Ok(())
        }),
        Side::Peer => {
            let events: Vec<_> = events.iter().map(peer::Command::from).collect();
            stopwatch.time(|| {
                for event in &events {
                    black_box(encoder.encode(black_box(event))?);
                }
                Ok(())
            })
        }
    })?;
    Ok(stopwatch.run(events))
}

/// Reads events, which are written outside of the timed part.
pub(super) fn decode(args: &WorkerArgs, side: Side) -> anyhow::Result<Run> {
    let peer = Peer::new()?;
    let schema = WriterSchema::parse(event_schema(KIND)).map_err(anyhow::Error::msg)?;
    let mut stopwatch = Stopwatch::new();
    let events = chunks(args, |events| {
        let encoded: Result<Vec<_>, _> = events.iter().map(encode_event).collect();
        let encoded = encoded.map_err(anyhow::Error::msg)?;
        stopwatch.time(|| {
            for bytes in &encoded {
                match side {
                    Side::Ours => drop(black_box(decode_event(KIND, &schema, black_box(bytes))?)),
                    Side::Peer => drop(black_box(peer.decode(black_box(bytes))?)),
                }
            }
            Ok(())
        })
    })?;
    Ok(stopwatch.run(events))
}

/// Gives the events to `work`, some at a time; how many there were.
fn chunks(
    args: &WorkerArgs,
    mut work: impl FnMut(&[Event]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut workload = Workload::new(args.seed, args.series);
    let chunks = args.events.div_ceil(CHUNK as u64);
    for _ in 0..chunks {
        work(&workload.events(CHUNK))?;
    }
    Ok(chunks * CHUNK as u64)
}
