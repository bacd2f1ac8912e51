//! `flowmeter dead-letters replay`.

mod report;
mod sender;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use platform::config::KafkaConfig;
use platform::kafka::log_reader::{LogReader, Step};
use platform::kafka::transactions::TransactionalProducer;
use platform::lifecycle::Shutdown;

pub use self::report::ReplayReport;
use self::sender::Sender;
use super::filter::{FilterArgs, State};
use super::groups::{Dimension, group};
use super::{Letter, Log, scan};

/// Of a transaction, after which the brokers give it up.
const TRANSACTION: Duration = Duration::from_secs(30);
/// How a report groups letters.
const DIMENSIONS: [Dimension; 3] = [Dimension::Reason, Dimension::Client, Dimension::Topic];

/// Arguments of `flowmeter dead-letters replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Which letters; those that were replayed before are never sent again
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Replay every open letter; needed if there is no filter
    #[arg(long)]
    pub all: bool,
    /// Letters at most, the oldest records first
    #[arg(long)]
    pub limit: Option<usize>,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Records per second at most; 0: as many as possible
    #[arg(long, default_value_t = 500)]
    pub rate: u32,
    /// Print one object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Sends the open letters again that `args` name, each in a transaction with its marker.
///
/// # Errors
/// Without any filter or `--all`; when Kafka fails, after which the same may be run again; and
/// when another replay takes over.
pub async fn replay(
    kafka: &KafkaConfig,
    args: &ReplayArgs,
    progress: &ProgressBar,
    stop: &Shutdown,
) -> anyhow::Result<ReplayReport> {
    anyhow::ensure!(
        args.all || !args.filter.is_empty(),
        "give a filter, or --all to replay every open letter (--dry-run says how many)"
    );
    let (log, args) = (Log::of(kafka), args.clone());
    let (progress, stop) = (progress.clone(), stop.clone());
    let run = move || replay_blocking(&log, &args, &progress, &stop);
    tokio::task::spawn_blocking(run).await?
}

fn replay_blocking(
    log: &Log,
    args: &ReplayArgs,
    progress: &ProgressBar,
    stop: &Shutdown,
) -> anyhow::Result<ReplayReport> {
    // Before the letters are read: it ends what an earlier replay left open, and that one can
    // write no marker any more that would not be seen.
    let producer = match args.dry_run {
        true => None,
        false => Some(
            TransactionalProducer::new(&log.client, &log.replayer, TRANSACTION)
                .context("nothing was replayed")?,
        ),
    };
    let ledger = scan::ledger(log, &args.filter, progress, stop)?;
    let open = ledger.into_letters(State::Open, None);
    let is_event = |letter: &Letter| log.topics.kind_of(&letter.topic).is_some();
    let (mut letters, others): (Vec<_>, Vec<_>) = open.into_iter().partition(is_event);
    letters.truncate(args.limit.unwrap_or(usize::MAX));
    let mut report = ReplayReport {
        letters: letters.len(),
        groups: group(&letters, &DIMENSIONS),
        not_replayable: group(&others, &DIMENSIONS),
        dry_run: args.dry_run,
        ..ReplayReport::default()
    };
    if let Some(producer) = producer.filter(|_| !letters.is_empty()) {
        let sender = Sender::new(log, producer, args.rate, &mut report);
        send(log, &letters, sender, progress, stop)?;
    }
    Ok(report)
}

/// Reads the letters once more, now whole, and sends them in the order of the log: that of one
/// key stays as it was.
fn send(
    log: &Log,
    letters: &[Letter],
    mut sender: Sender<'_>,
    progress: &ProgressBar,
    stop: &Shutdown,
) -> anyhow::Result<()> {
    progress.set_position(0);
    progress.reset();
    progress.set_length(letters.len() as u64);
    progress.set_message("replaying");
    let mut wanted: BTreeSet<_> = letters.iter().map(|l| (l.partition, l.offset)).collect();
    let mut ranges: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for (partition, offset) in &wanted {
        let range = ranges.entry(*partition).or_insert((*offset, *offset));
        range.1 = offset + 1;
    }
    let mut reader = LogReader::open_at(&log.client, &log.reader, &log.topic, &ranges)?;
    loop {
        match reader.poll()? {
            _ if stop.is_triggered() => {
                sender.interrupted();
                break;
            }
            Step::Record(record) => {
                if wanted.remove(&(record.partition, record.offset)) {
                    sender.wait(stop)?;
                    sender.add(record)?;
                }
            }
            Step::Waiting => sender.commit_if_due()?,
            Step::End => {
                sender.gone(wanted.len());
                break;
            }
        }
        progress.set_position(sender.done());
    }
    sender.commit()?;
    progress.finish_and_clear();
    Ok(())
}
