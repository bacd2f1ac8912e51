//! What an event costs with more partitions and as many instances of a service.

use anyhow::ensure;
use platform::{database::Role, test_support::TestDatabase};
use schemas::EventKind;

use super::kafka_windows::{Backlog, Minutes, Output, Progress, aggregator, check, sink};
use crate::harness::{Bound, Context, Outcome, Run, Stage, instance::Instance, statistics::Spread};

/// Partitions of each topic, and instances of a service; the first is what the others are
/// compared with.
const COUNTS: [usize; 3] = [1, 2, 4];
/// Processor time per event divided by that of the first, at most.
const MOST: f64 = 1.1;
const SERVICES: [&str; 2] = ["aggregator", "sink"];

/// The row.
#[derive(Debug)]
pub(super) struct Partitions;

impl Stage for Partitions {
    fn name(&self) -> &'static str {
        "partitions"
    }

    fn about(&self) -> &'static str {
        "A backlog of workload W1 with 1, 2 and 4 partitions and as many aggregators, and then \
         what they forwarded with as many sinks into one database. All instances share one core, \
         so that rates say nothing: it is the processor time per event, of all instances \
         together, that must not grow with their number. Needs the stack, which takes from both \
         cores; its processor time does not count."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let events = context.choose(500_000, 1_000_000);
        let expected = Minutes::of(&context.options, events);
        let mut rounds = Vec::new();
        for number in 0..=context.options.pairs {
            let mut round = Vec::new();
            for count in COUNTS {
                let runs = once(context, count, events, &expected)?;
                for (service, run) in SERVICES.iter().zip(&runs) {
                    context.say(format!(
                        "partitions: round {number} of {}: {count} of {service}: {:.0}/s, {:.3} us of processor an event",
                        context.options.pairs,
                        run.rate(),
                        run.cpu_micros_per_event(),
                    ));
                }
                round.push(runs);
            }
            if number > 0 {
                rounds.push(round);
            }
        }
        Ok(outcome(events, &rounds))
    }
}

/// The runs of each service with one number of instances.
type Runs = [Run; SERVICES.len()];

/// Runs all services once. The members of a group join it before they read anything: an
/// aggregator that takes over a partition reads an hour of it again, and its backlog comes at
/// once when all are there.
fn once(context: &Context, count: usize, events: u64, expected: &Minutes) -> anyhow::Result<Runs> {
    let backlog = Backlog::empty(i32::try_from(count)?)?;
    let group = backlog.name("group");
    let topics = backlog.topics();
    let output = Output::begin(&topics.admitted(), &topics.rollups())?;
    let progress = Progress::of(&backlog.input(), &format!("{group}-aggregator"))?;
    let sources = EventKind::ALL.map(|kind| topics.events(kind));
    let mut aggregators = progress.gather(&sources.each_ref().map(String::as_str), || {
        (1..=count)
            .map(|number| aggregator(context, &backlog, &group, number))
            .collect()
    })?;
    backlog.fill(context, events)?;
    let aggregated = progress.measure_all(&mut aggregators)?;
    aggregators.into_iter().try_for_each(Instance::stop)?;
    check(&output, expected, events)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let database = runtime.block_on(TestDatabase::create());
    let progress = Progress::of(&topics.admitted(), &format!("{group}-sink"))?;
    let mut sinks = progress.gather(&[&topics.admitted(), &topics.dead_letters()], || {
        (1..=count)
            .map(|number| sink(context, &backlog, &group, number, database.url_text()))
            .collect()
    })?;
    let stored = progress.measure_all(&mut sinks)?;
    sinks.into_iter().try_for_each(Instance::stop)?;
    let rows: i64 = runtime.block_on(async {
        let pool = database.pool(Role::Owner).await;
        let count = "select count(*) from flowmeter.command_executions";
        sqlx::query_scalar(count).fetch_one(&pool).await
    })?;
    ensure!(
        rows.unsigned_abs() == events,
        "{rows} events of {events} were stored"
    );
    Ok([aggregated, stored])
}

/// How many instances did a tenth of the work or more: the group deals out the partitions of all
/// topics at once, also of those that are empty.
fn busy(run: &Run) -> usize {
    let all: f64 = run.parts.iter().map(|part| part.cpu_seconds).sum();
    let busy = run
        .parts
        .iter()
        .filter(|part| part.cpu_seconds * 10.0 >= all);
    busy.count()
}

fn outcome(events: u64, rounds: &[Vec<Runs>]) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.notes.push(format!(
        "{events} events a run, into topics of its own each time. Checked after every run: as \
         many events were forwarded as there are, and the sums of every series and minute are those \
         of a plain sum; the database holds as many events."
    ));
    for (service, name) in SERVICES.iter().enumerate() {
        for (index, count) in COUNTS.iter().enumerate() {
            let cost = |round: &Vec<Runs>| round[index][service].cpu_micros_per_event();
            let costs: Spread = rounds.iter().map(cost).collect();
            let busy: Vec<usize> = rounds.iter().map(|r| busy(&r[index][service])).collect();
            outcome.notes.push(format!(
                "{name}, {count}: {costs} us of processor an event; instances with a share of the \
                 work, by run: {busy:?}."
            ));
            if index > 0 {
                let ratio =
                    |round: &Vec<Runs>| cost(round) / round[0][service].cpu_micros_per_event();
                outcome.bounds.push(Bound {
                    name: format!("{name}: cost of an event with {count} / with 1"),
                    values: rounds.iter().map(ratio).collect(),
                    bound: MOST,
                    at_least: false,
                });
            }
        }
    }
    outcome
}
