//! The aggregator over a backlog in Kafka, against a consumer that only counts, and against the
//! same job on Kafka Streams.

mod backlog;
mod bare;
mod expected;
mod progress;
mod sides;

use self::sides::{STREAMS, Sides};
pub(super) use self::{
    backlog::Backlog,
    bare::{count, forward},
    expected::{Minutes, Output},
    progress::Progress,
    sides::{aggregator, check, sink},
};
use crate::harness::{Comparison, Context, Goal, Outcome, Pair, Stage, peers};

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
         which is the floor of an aggregator that forwards, and Kafka Streams with the \
         aggregator's job (exactly_once_v2, state in memory with changelogs, one thread, a commit \
         every 100 ms where ours is every 50 ms, no validation but of the key, no histogram). \
         Needs the stack. Whoever reads has one core; Kafka has none of its own and takes from \
         both."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        // What runs write stays in Kafka until the last has ended: a disk holds no more of it.
        let sides = Sides::of(context, context.choose(1_000_000, 4_000_000))?;
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
        drop(sides);
        match streams(context) {
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

/// Reads each backlog twice and takes three times as long as ours, so it gets a smaller one.
fn streams(context: &Context) -> anyhow::Result<(String, Vec<Pair>)> {
    let version = peers::version(context, STREAMS)?;
    let sides = Sides::of(context, context.choose(1_000_000, 2_000_000))?;
    sides.prepare_streams()?;
    let name = format!("kafka-windows, {STREAMS}");
    let pairs = context.alternate(&name, || sides.ours(), || sides.streams())?;
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
