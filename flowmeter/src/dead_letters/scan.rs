//! Reading the topic of dead letters.

use anyhow::Context;
use indicatif::ProgressBar;
use platform::kafka::log_reader::{LogReader, LogRecord, Step};
use platform::lifecycle::Shutdown;
use schemas::Timestamp;

use super::Log;
use super::filter::FilterArgs;
use super::ledger::Ledger;

/// It was stopped before all was read.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("interrupted before anything was done")]
pub(super) struct Interrupted;

/// Reads up to the topic's present end, from where records of `from` on can be; `take` gets
/// each record. `false` when `stop` was triggered before the end.
pub(super) fn each(
    log: &Log,
    from: Option<Timestamp>,
    progress: &ProgressBar,
    stop: &Shutdown,
    mut take: impl FnMut(LogRecord),
) -> anyhow::Result<bool> {
    // A letter is younger than its record, and a marker than its letter.
    let mut reader = LogReader::open(&log.client, &log.reader, &log.topic, from)
        .context("dead letters cannot be read")?;
    progress.set_length(reader.offsets());
    progress.set_message("reading dead letters");
    while !stop.is_triggered() {
        match reader.poll().context("dead letters cannot be read")? {
            Step::Record(record) => take(record),
            Step::Waiting => {}
            Step::End => {
                progress.finish_and_clear();
                return Ok(true);
            }
        }
        progress.set_position(reader.offsets() - reader.left());
    }
    progress.finish_and_clear();
    Ok(false)
}

/// The letters that `filter` lets pass.
pub(super) fn ledger(
    log: &Log,
    filter: &FilterArgs,
    progress: &ProgressBar,
    stop: &Shutdown,
) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger::new(filter.clone());
    let take = |record: LogRecord| ledger.read(&log.topic, &record);
    let whole = each(log, filter.from, progress, stop, take)?;
    anyhow::ensure!(whole, Interrupted);
    Ok(ledger)
}
