//! Reading older deltas, for the windows of an hour and a day, while the log is followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use platform::kafka::{
    client::KafkaClientConfig,
    log_reader::{LogReader, LogReaderError, LogRecord, Step},
};
use schemas::Timestamp;

/// Records read in one go: what is new does not wait for longer than they take.
const RECORDS: usize = 100;
/// How long more is waited for.
const WAIT: Duration = Duration::from_millis(1);

/// What is left to read of the log before the part that is followed.
#[derive(Debug)]
pub(super) struct Backfill {
    /// By partition: the next offset, and the one after the last.
    left: BTreeMap<i32, (i64, i64)>,
    /// From which log time on all will have been read.
    pub(super) from: Timestamp,
    /// Partitions whose first record is all that says how far back the log goes.
    cut: BTreeSet<i32>,
}

impl Backfill {
    pub(super) fn new(
        left: BTreeMap<i32, (i64, i64)>,
        from: Timestamp,
        cut: BTreeSet<i32>,
    ) -> Self {
        Self { left, from, cut }
    }

    /// Begins, or goes on after a fault.
    pub(super) fn open(
        &self,
        client: &KafkaClientConfig,
        group: &str,
        topic: &str,
    ) -> Result<LogReader, LogReaderError> {
        LogReader::open_at(client, group, topic, &self.left)
    }

    /// Hands over some records; whether these were the last. One for which `take` fails is
    /// read again the next time.
    pub(super) fn step<E: From<LogReaderError>>(
        &mut self,
        reader: &mut LogReader,
        mut take: impl FnMut(&LogRecord) -> Result<(), E>,
    ) -> Result<bool, E> {
        for _ in 0..RECORDS {
            match reader.poll_within(WAIT)? {
                Step::End => return Ok(true),
                Step::Waiting => break,
                Step::Record(record) => {
                    take(&record)?;
                    if self.cut.remove(&record.partition) {
                        self.from = self.from.max(record.log_time);
                    }
                    if let Some((next, _)) = self.left.get_mut(&record.partition) {
                        *next = record.offset + 1;
                    }
                }
            }
        }
        Ok(false)
    }
}
