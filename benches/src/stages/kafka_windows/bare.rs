//! The least that reading takes: a consumer with the aggregator's settings that only counts.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use platform::{
    kafka::consumer::{ConsumerSettings, PartitionConsumer, Polled},
    test_support::{kafka, required_env},
};
use rdkafka::Message;
use schemas::{EventKind, Topics};

use crate::harness::{Run, process::CpuClock, worker::WorkerArgs};

/// Reads the topic of commands of `KAFKA_TOPIC_PREFIX` from its beginning, in a group of
/// `KAFKA_GROUP_PREFIX`. The clock starts with the first record.
pub(in crate::stages) fn count(args: &WorkerArgs) -> anyhow::Result<Run> {
    let topics = Topics::new(required_env("KAFKA_TOPIC_PREFIX"));
    let topic = topics.events(EventKind::CommandExecution);
    let settings = ConsumerSettings::new(&format!("{}-bare", required_env("KAFKA_GROUP_PREFIX")));
    let consumer = PartitionConsumer::new(&kafka(), &settings, &[&topic])?;
    let started = Instant::now();
    let mut clocks = None;
    let (mut count, mut bytes) = (0, 0);
    while count < args.events {
        match consumer.poll(Duration::from_millis(100))? {
            Polled::Record(record) => {
                clocks.get_or_insert_with(|| (CpuClock::own(), Instant::now()));
                bytes += black_box(record.payload().map_or(0, <[u8]>::len));
                count += 1;
            }
            Polled::Assigned(partitions) => {
                let starts: Vec<_> = partitions.into_iter().map(|p| (p, 0)).collect();
                consumer.accept_assignment(&starts)?;
            }
            Polled::Revoked(_) | Polled::Lost(_) => bail!("the partitions were taken away"),
            Polled::Idle => {}
        }
        ensure!(
            started.elapsed() < Duration::from_secs(600),
            "{count} records only"
        );
    }
    let Some((cpu, wall)) = clocks else {
        bail!("nothing was read");
    };
    Ok(Run {
        events: count,
        seconds: wall.elapsed().as_secs_f64(),
        parts: vec![cpu.part("consumer")],
        values: [("bytes_an_event".to_owned(), bytes as f64 / count as f64)].into(),
    })
}
