//! What a consumer group has done, seen from outside: the offsets that it committed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use platform::{
    kafka::{
        client::LoggingContext,
        consumer::{ConsumerSettings, PartitionConsumer, Polled},
        log_reader::{LogReader, Step},
    },
    test_support::kafka,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use crate::harness::{Run, instance::Instance, process::CpuClock};

/// How often a group's offsets are asked for: a small part of the time between two commits.
const LOOK: Duration = Duration::from_millis(10);
const ANSWER: Duration = Duration::from_secs(10);
/// From the start of a process to its end, at most.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// For members to join; shorter than a member may be silent.
const JOINING: Duration = Duration::from_secs(50);
/// More than there are at the end of a partition, behind its last record.
const MARKS: i64 = 100;

/// The offset after the last record, by partition. Marks of transactions take offsets as well.
pub(in crate::stages) type Ends = BTreeMap<i32, i64>;

/// A topic, and a group that reads it or will.
pub(in crate::stages) struct Progress {
    consumer: BaseConsumer<LoggingContext>,
    group: String,
    topic: String,
}

impl Progress {
    pub(in crate::stages) fn of(topic: &str, group: &str) -> anyhow::Result<Self> {
        Ok(Self {
            consumer: consumer(group, "read_uncommitted")?,
            group: group.to_owned(),
            topic: topic.to_owned(),
        })
    }

    /// Starts instances that form the group together, so that each gets its share of every
    /// topic; of members that come one by one, the later ones may get topics that are empty.
    /// Until all are there, a member that does not answer holds the group up.
    pub(in crate::stages) fn gather(
        &self,
        topics: &[&str],
        start: impl FnOnce() -> anyhow::Result<Vec<Instance>>,
    ) -> anyhow::Result<Vec<Instance>> {
        let settings = ConsumerSettings::new(&self.group);
        let holding = PartitionConsumer::new(&kafka(), &settings, topics)?;
        let deadline = Instant::now() + JOINING;
        while !matches!(holding.poll(LOOK)?, Polled::Assigned(_)) {
            ensure!(Instant::now() < deadline, "{}: no first member", self.group);
        }
        let mut instances = start()?;
        while self.members()? <= instances.len() {
            instances.iter_mut().try_for_each(Instance::check)?;
            ensure!(Instant::now() < deadline, "{}: no members", self.group);
            std::thread::sleep(LOOK);
        }
        holding.close();
        Ok(instances)
    }

    fn members(&self) -> anyhow::Result<usize> {
        let groups = self.consumer.fetch_group_list(Some(&self.group), ANSWER)?;
        Ok(groups.groups().first().map_or(0, |g| g.members().len()))
    }

    /// Waits until the group has committed the whole topic. The clock starts with its first
    /// commit, so that neither the start of a process nor joining a group counts, and events
    /// before that do not count either.
    ///
    /// # Errors
    /// If an instance ends, or it takes too long.
    pub(in crate::stages) fn measure(&self, instances: &mut [Instance]) -> anyhow::Result<Run> {
        let ends = ends(&self.topic)?;
        let before = self.wait_for(&ends, 1, instances)?;
        ensure!(
            before < all(&ends) / 2,
            "the first commit was seen too late"
        );
        let clocks = clocks(instances);
        self.wait_for(&ends, all(&ends), instances)?;
        Ok(run(all(&ends) - before, &clocks, instances))
    }

    /// The same of instances that are there and have done nothing yet: the clock starts now,
    /// and every event counts.
    ///
    /// # Errors
    /// If an instance ends, or it takes too long.
    pub(in crate::stages) fn measure_all(&self, instances: &mut [Instance]) -> anyhow::Result<Run> {
        let clocks = clocks(instances);
        let ends = ends(&self.topic)?;
        self.wait_for(&ends, all(&ends), instances)?;
        Ok(run(all(&ends), &clocks, instances))
    }

    /// Waits until the group has committed so many offsets; how many it has.
    fn wait_for(&self, ends: &Ends, count: u64, instances: &mut [Instance]) -> anyhow::Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let done = self.committed(ends)?;
            if done >= count {
                return Ok(done);
            }
            instances.iter_mut().try_for_each(Instance::check)?;
            ensure!(
                Instant::now() < deadline,
                "{}: {done} records of {count} after {PATIENCE:?}",
                self.group
            );
            std::thread::sleep(LOOK);
        }
    }

    /// How many of the offsets before `ends` the group has committed.
    fn committed(&self, ends: &Ends) -> anyhow::Result<u64> {
        let mut list = TopicPartitionList::with_capacity(ends.len());
        for partition in ends.keys() {
            list.add_partition(&self.topic, *partition);
        }
        let offsets = self.consumer.committed_offsets(list, ANSWER)?;
        let mut done = 0;
        for (partition, end) in ends {
            let found = offsets.find_partition(&self.topic, *partition);
            if let Some(Offset::Offset(offset)) = found.map(|found| found.offset()) {
                done += offset.min(*end).unsigned_abs();
            }
        }
        Ok(done)
    }
}

fn all(ends: &Ends) -> u64 {
    ends.values().map(|end| end.unsigned_abs()).sum()
}

type Clocks = (Instant, Vec<CpuClock>);

fn clocks(instances: &[Instance]) -> Clocks {
    (
        Instant::now(),
        instances.iter().map(Instance::clock).collect(),
    )
}

fn run(events: u64, (began, clocks): &Clocks, instances: &[Instance]) -> Run {
    let seconds = began.elapsed().as_secs_f64();
    let parts = clocks.iter().zip(instances);
    Run {
        events,
        seconds,
        parts: parts.map(|(c, i)| c.part(i.name())).collect(),
        ..Run::default()
    }
}

/// Where the records of a topic end, once no transaction is open in it.
///
/// # Errors
/// If Kafka does not answer, or a transaction stays open.
pub(in crate::stages) fn ends(topic: &str) -> anyhow::Result<Ends> {
    let all = consumer("unused", "read_uncommitted")?;
    let stable = consumer("unused", "read_committed")?;
    let metadata = all.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata.topics().first().context("the topic is gone")?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut last = BTreeMap::new();
    for partition in found.partitions() {
        let end = loop {
            let (_, end) = all.fetch_watermarks(topic, partition.id(), ANSWER)?;
            if stable.fetch_watermarks(topic, partition.id(), ANSWER)?.1 == end {
                break end;
            }
            ensure!(Instant::now() < deadline, "{topic}: an open transaction");
            std::thread::sleep(Duration::from_millis(20));
        };
        last.insert(partition.id(), ((end - MARKS).max(0), end));
    }
    let mut ends: Ends = last.keys().map(|partition| (*partition, 0)).collect();
    let mut log = LogReader::open_at(&kafka(), "unused", topic, &last)?;
    loop {
        match log.poll()? {
            Step::Record(record) => {
                ends.insert(record.partition, record.offset + 1);
            }
            Step::Waiting => {}
            Step::End => break,
        }
    }
    let whole = last.iter().all(|(p, (_, end))| *end == 0 || ends[p] > 0);
    ensure!(whole, "{topic}: {MARKS} marks and no record");
    Ok(ends)
}

fn consumer(group: &str, isolation: &str) -> anyhow::Result<BaseConsumer<LoggingContext>> {
    let mut config = kafka().base();
    config
        .set("group.id", group)
        .set("isolation.level", isolation);
    Ok(config.create_with_context(LoggingContext)?)
}
