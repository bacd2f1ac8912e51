//! What reads the backlog: the aggregator and what it is compared with.

use std::{cell::Cell, process::Command, time::Duration};

use anyhow::ensure;
use platform::test_support::required_env;

use super::{
    backlog::Backlog,
    expected::{Minutes, Output},
    progress::Progress,
};
use crate::harness::{
    Context, Run,
    instance::{Instance, built},
    peers, pinned,
};

/// The product's default.
const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(600);
/// As `scripts/bench-peers` names it.
pub(super) const STREAMS: &str = "kafka-streams";
/// The memory of its state grows with the events of an hour, which is all of them.
const HEAP: &str = "-Xmx4g";

/// Starts an aggregator on the server's core, in a group under `group`. It takes events of any
/// time: the workload's are of a fixed day.
pub(in crate::stages) fn aggregator(
    context: &Context,
    backlog: &Backlog,
    group: &str,
    number: usize,
) -> anyhow::Result<Instance> {
    let mut command = service(context, backlog, group, "aggregator", number)?;
    command.env("DATA_RETENTION_DAYS", "36500");
    start(context, "aggregator", number, command)
}

/// Starts a sink in the same way.
pub(in crate::stages) fn sink(
    context: &Context,
    backlog: &Backlog,
    group: &str,
    number: usize,
    database: &str,
) -> anyhow::Result<Instance> {
    let mut command = service(context, backlog, group, "sink", number)?;
    command.env("DATABASE_URL", database);
    start(context, "sink", number, command)
}

fn service(
    context: &Context,
    backlog: &Backlog,
    group: &str,
    name: &str,
    number: usize,
) -> anyhow::Result<Command> {
    let mut command = pinned(&context.cores.server, &built("flowmeter")?);
    command
        .arg(name)
        .env("KAFKA_TOPIC_PREFIX", backlog.name(""))
        .env("KAFKA_GROUP_PREFIX", group)
        .env("INSTANCE_ID", number.to_string())
        .env("ADMIN_PORT", "0")
        .env("LOG_LEVEL", "warn");
    Ok(command)
}

fn start(
    context: &Context,
    name: &str,
    number: usize,
    command: Command,
) -> anyhow::Result<Instance> {
    let log = context.scratch.join(format!("{name}-{number}.log"));
    Instance::start(&format!("{name} {number}"), command, &log)
}

/// Checks what aggregators wrote since `output`.
pub(in crate::stages) fn check(
    output: &Output,
    expected: &Minutes,
    events: u64,
) -> anyhow::Result<()> {
    check_forwarded(output, events)?;
    expected.check(&output.of_deltas()?)
}

fn check_forwarded(output: &Output, events: u64) -> anyhow::Result<()> {
    let forwarded = output.forwarded()?;
    ensure!(
        forwarded == events,
        "a wrong answer: {forwarded} events of {events} were forwarded"
    );
    Ok(())
}

/// The sides of this stage over one backlog.
pub(super) struct Sides<'a> {
    context: &'a Context,
    backlog: Backlog,
    expected: Minutes,
    events: u64,
    /// Every run reads from the beginning, in a group that was not there before.
    runs: Cell<u32>,
}

impl<'a> Sides<'a> {
    /// Fills a backlog.
    pub(super) fn of(context: &'a Context, events: u64) -> anyhow::Result<Self> {
        let backlog = Backlog::empty(PARTITIONS)?;
        context.say(format!("kafka-windows: {events} events are put into Kafka"));
        backlog.fill(context, events)?;
        Ok(Self {
            context,
            backlog,
            expected: Minutes::of(&context.options, events),
            events,
            runs: Cell::new(0),
        })
    }

    fn fresh(&self, side: &str) -> String {
        self.runs.set(self.runs.get() + 1);
        self.backlog.name(&format!("{side}-{}", self.runs.get()))
    }

    pub(super) fn ours(&self) -> anyhow::Result<Run> {
        let topics = self.backlog.topics();
        let output = Output::begin(&topics.admitted(), &topics.rollups())?;
        let group = self.fresh("aggregator");
        let progress = Progress::of(&self.backlog.input(), &format!("{group}-aggregator"))?;
        let mut instances = [aggregator(self.context, &self.backlog, &group, 1)?];
        let run = progress.measure(&mut instances)?;
        instances.into_iter().try_for_each(Instance::stop)?;
        check(&output, &self.expected, self.events)?;
        Ok(run)
    }

    pub(super) fn bare(&self) -> anyhow::Result<Run> {
        self.consumer("kafka-windows-bare")
    }

    pub(super) fn forward(&self) -> anyhow::Result<Run> {
        let admitted = self.backlog.topics().admitted();
        let output = Output::begin(&admitted, &self.backlog.topics().rollups())?;
        let run = self.consumer("kafka-windows-forward")?;
        check_forwarded(&output, self.events)?;
        Ok(run)
    }

    fn consumer(&self, worker: &str) -> anyhow::Result<Run> {
        let mut command = pinned(&self.context.cores.server, &std::env::current_exe()?);
        command
            .args(["worker", worker])
            .arg(format!("--events={}", self.events))
            .env("KAFKA_TOPIC_PREFIX", self.backlog.name(""))
            .env("KAFKA_GROUP_PREFIX", self.fresh("bare"));
        self.context.measure(command, PATIENCE)
    }

    /// Makes the topics that Kafka Streams writes.
    pub(super) fn prepare_streams(&self) -> anyhow::Result<()> {
        for name in ["admitted", "sums", "warm-admitted", "warm-sums"] {
            self.backlog.create(&streams_topic(name), PARTITIONS)?;
        }
        Ok(())
    }

    pub(super) fn streams(&self) -> anyhow::Result<Run> {
        let context = self.context;
        let topic = |name: &str| self.backlog.name(&streams_topic(name));
        let output = Output::begin(&topic("admitted"), &topic("sums"))?;
        let application = self.fresh("streams");
        let progress = Progress::of(&self.backlog.input(), &application)?;
        let options = [HEAP, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];
        let cores = &context.cores.server;
        let mut command = peers::java(context, cores, STREAMS, &options, "DeltasJob");
        command
            .arg(required_env("KAFKA_BROKERS"))
            .arg(self.backlog.input())
            .arg(topic(""))
            .arg(&application)
            .arg(self.events.to_string());
        let log = context.scratch.join("kafka-streams.log");
        let mut instances = [Instance::start("Kafka Streams", command, &log)?];
        let run = progress.measure(&mut instances)?;
        instances.into_iter().try_for_each(Instance::stop)?;
        check_forwarded(&output, self.events)?;
        self.expected.check(&output.of_updates()?)?;
        Ok(run)
    }
}

fn streams_topic(name: &str) -> String {
    format!("streams.{name}")
}
