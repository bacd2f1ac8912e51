//! The aggregator over a backlog in Kafka, against a consumer that only counts, and against the
//! same job on Kafka Streams.

mod backlog;
mod bare;
mod expected;
mod progress;
mod sides;

use std::cell::Cell;

use self::sides::{STREAMS, Sides};
pub(super) use self::{
    backlog::Backlog,
    bare::{count, forward},
    expected::{Minutes, Output},
    progress::Progress,
    sides::{aggregator, check, sink},
};
use crate::harness::{Comparison, Context, Goal, Outcome, Pair, Stage, peers};

/// The product's default.
const PARTITIONS: i32 = 4;

/// The row.
#[derive(Debug)]
pub(super) struct KafkaWindows;

impl Stage for KafkaWindows {
    fn name(&self) -> &'static str {
        "kafka-windows"
    }

    fn about(&self) -> &'static str {
        "A backlog of workload W1 (Avro behind the registry's header, 4 partitions) read from its \
         beginning, each time in a new group: the process flowmeter aggregator, which decodes, \
         validates, drops duplicates, forwards each event and publishes sums by minute and finest \
         series, all in Kafka transactions. Longer windows and coarser scopes are the sink's work \
         and measured by the stage windows. Peers: a consumer with the same settings that only \
         counts, one that forwards every record in the same transactions and does nothing else, \
         which is the floor of an aggregator that forwards, and Kafka Streams with the aggregator's job (exactly_once_v2, state in memory \
         with changelogs, one thread, a commit every 100 ms where ours is every 50 ms, no \
         validation but of the key, no histogram). Needs the stack. Whoever reads has one core; \
         Kafka has none of its own and takes from both."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let events = context.choose(1_000_000, 10_000_000);
        let backlog = Backlog::empty(PARTITIONS)?;
        context.say(format!("kafka-windows: {events} events are put into Kafka"));
        backlog.fill(context, events)?;
        let expected = Minutes::of(&context.options, events);
        let sides = Sides {
            context,
            backlog: &backlog,
            expected: &expected,
            events,
            partitions: PARTITIONS,
            runs: Cell::new(0),
        };
        let mut outcome = Outcome::default();
        outcome.notes.push(
            "The clock of the aggregator and of Kafka Streams starts with the first offsets that \
             their group commits, seen from outside every 10 ms, and ends with the last; that of \
             the consumer with its first record. So no start of a process counts, and Kafka \
             Streams has read the whole backlog once before in the same process."
                .to_owned(),
        );
        outcome.notes.push(
            "Checked after every run of the aggregator and of Kafka Streams: as many events were \
             forwarded as there are, and the sums (count, errors, sum, minimum, maximum) of every \
             series and minute are those of a plain sum."
                .to_owned(),
        );
        let bare =
            context.alternate("kafka-windows, consumer", || sides.ours(), || sides.bare())?;
        outcome.comparisons.push(comparison(
            "consumer",
            "rdkafka, counting only".to_owned(),
            Goal::RateAtLeast(0.5),
            bare,
        ));
        let forward = context.alternate(
            "kafka-windows, forwarding",
            || sides.ours(),
            || sides.forward(),
        )?;
        outcome.comparisons.push(comparison(
            "forwarding",
            "rdkafka, forwarding only".to_owned(),
            Goal::None,
            forward,
        ));
        match streams(&sides) {
            Ok((version, pairs)) => {
                let peer = format!("Kafka Streams {version}");
                outcome.versions.insert(STREAMS.to_owned(), version);
                outcome
                    .comparisons
                    .push(comparison(STREAMS, peer, Goal::RateAtLeast(3.0), pairs));
            }
            // Ours has just been measured and found right.
            Err(error) => {
                context.say(format!("kafka-windows: {STREAMS}: {error:#}"));
                outcome.absent.push(peers::absent(STREAMS, &error));
            }
        }
        Ok(outcome)
    }
}

fn streams(sides: &Sides<'_>) -> anyhow::Result<(String, Vec<Pair>)> {
    let version = peers::version(sides.context, STREAMS)?;
    sides.prepare_streams()?;
    let name = format!("kafka-windows, {STREAMS}");
    let pairs = sides
        .context
        .alternate(&name, || sides.ours(), || sides.streams())?;
    Ok((version, pairs))
}

fn comparison(name: &str, peer: String, goal: Goal, pairs: Vec<Pair>) -> Comparison {
    Comparison {
        name: name.to_owned(),
        ours: "flowmeter aggregator".to_owned(),
        peer,
        unit: "events".to_owned(),
        goal,
        pairs,
        commands: vec!["bench --only kafka-windows".to_owned()],
    }
}
