//! The least that reading takes, and the least that reading and forwarding take: consumers with
//! the aggregator's settings that do nothing else.

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use platform::{
    kafka::{
        consumer::{ConsumerSettings, PartitionConsumer, Polled},
        transactions::TransactionalProducer,
    },
    test_support::{kafka, required_env},
};
use rdkafka::{Message, Offset, TopicPartitionList, message::BorrowedMessage};
use schemas::{EventKind, Source, Topics};

use crate::harness::{Run, process::CpuClock, worker::WorkerArgs};

/// The aggregator's default.
const FLUSH: Duration = Duration::from_millis(50);
/// Records between two looks at the clock.
const LOOK_EVERY: u64 = 64;
/// As long as what the aggregator writes, which depends on the record.
const SOURCE: &[u8] = b"command_execution/0/100000/1773531000000";

/// Reads the topic of commands of `KAFKA_TOPIC_PREFIX` from its beginning, in a group of
/// `KAFKA_GROUP_PREFIX`. The clock starts with the first record.
pub(in crate::stages) fn count(args: &WorkerArgs) -> anyhow::Result<Run> {
    let reading = Reading::begin("bare")?;
    let mut bytes = 0;
    let run = reading.to_the_end(args.events, |record| {
        bytes += black_box(record.payload().map_or(0, <[u8]>::len));
        Ok(())
    })?;
    Ok(Run {
        values: [(
            "bytes_an_event".to_owned(),
            bytes as f64 / run.events as f64,
        )]
        .into(),
        ..run
    })
}

/// The same, and puts every record with one more header among the admitted events, in
/// transactions that hold what was read.
pub(in crate::stages) fn forward(args: &WorkerArgs) -> anyhow::Result<Run> {
    let reading = Reading::begin("forward")?;
    let to = reading.topics.admitted();
    let producer = TransactionalProducer::new(&kafka(), &reading.group, Duration::from_secs(10))?;
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut count, mut since) = (0, None);
    reading.to_the_end(args.events, |record| {
        if since.is_none() {
            producer.begin()?;
            since = Some(Instant::now());
        }
        let headers = [(Source::HEADER, Some(SOURCE))];
        producer.send(&to, record.key(), record.payload(), &headers)?;
        next.insert(record.partition(), record.offset() + 1);
        count += 1;
        let looks = count % LOOK_EVERY == 0;
        let is_due = looks && since.is_some_and(|since| since.elapsed() >= FLUSH);
        if is_due || count == args.events {
            let mut offsets = TopicPartitionList::new();
            for (partition, next) in &next {
                offsets.add_partition_offset(record.topic(), *partition, Offset::Offset(*next))?;
            }
            producer.commit(&offsets, &reading.consumer.group_metadata()?)?;
            since = None;
        }
        Ok(())
    })
}

/// A consumer of the topic of commands.
struct Reading {
    topics: Topics,
    group: String,
    consumer: PartitionConsumer,
}

impl Reading {
    fn begin(name: &str) -> anyhow::Result<Self> {
        let topics = Topics::new(required_env("KAFKA_TOPIC_PREFIX"));
        let group = format!("{}-{name}", required_env("KAFKA_GROUP_PREFIX"));
        let topic = topics.events(EventKind::CommandExecution);
        let consumer = PartitionConsumer::new(&kafka(), &ConsumerSettings::new(&group), &[&topic])?;
        Ok(Self {
            topics,
            group,
            consumer,
        })
    }

    /// Reads `events` from the beginning.
    fn to_the_end(
        &self,
        events: u64,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Run> {
        let started = Instant::now();
        let mut clocks = None;
        let mut count = 0;
        while count < events {
            match self.consumer.poll(Duration::from_millis(100))? {
                Polled::Record(record) => {
                    clocks.get_or_insert_with(|| (CpuClock::own(), Instant::now()));
                    count += 1;
                    take(&record)?;
                }
                Polled::Assigned(partitions) => {
                    let starts: Vec<_> = partitions.into_iter().map(|p| (p, 0)).collect();
                    self.consumer.accept_assignment(&starts)?;
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
            ..Run::default()
        })
    }
}
