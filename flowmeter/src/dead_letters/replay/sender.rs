//! Records and their markers, in transactions.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use platform::kafka::log_reader::LogRecord;
use platform::kafka::transactions::{TransactionError, TransactionalProducer};
use platform::lifecycle::Shutdown;
use schemas::dead_letter::{DeadLetter, REPLAY_OF, Replayed};
use schemas::{Source, Topics};

use super::super::Log;
use super::super::ledger::{Entry, entry};
use super::super::pacer::Pacer;
use super::ReplayReport;

/// Most letters of a transaction,
const RECORDS: usize = 100;
/// most bytes,
const BYTES: usize = 4 << 20;
/// and how long its first may wait. It is begun when all are there, and ends at once: an open
/// transaction holds back all readers of its partitions.
const LINGER: Duration = Duration::from_secs(1);
/// How often a letter is tried alone before it counts as refused: after a refusal the client
/// wants the next transaction aborted, too.
const TRIES: usize = 3;
/// So many refused letters are no matter of letters any more.
const MOST_REFUSED: usize = 20;

pub(super) struct Sender<'a> {
    log: &'a Log,
    producer: TransactionalProducer,
    pacer: Pacer,
    began: Instant,
    batch: Vec<(DeadLetter, LogRecord)>,
    bytes: usize,
    since: Instant,
    report: &'a mut ReplayReport,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        log: &'a Log,
        producer: TransactionalProducer,
        rate: u32,
        report: &'a mut ReplayReport,
    ) -> Self {
        let now = Instant::now();
        Self {
            log,
            producer,
            pacer: Pacer::new(rate),
            began: now,
            batch: Vec::new(),
            bytes: 0,
            since: now,
            report,
        }
    }

    /// Waits until the next record may go, or `stop`.
    pub(super) fn wait(&mut self, stop: &Shutdown) -> anyhow::Result<()> {
        loop {
            let wait = self.pacer.wait(self.began.elapsed());
            if wait.is_zero() || stop.is_triggered() {
                return Ok(());
            }
            self.commit_if_due()?;
            std::thread::sleep(wait.min(Duration::from_millis(50)));
        }
    }

    /// Takes a letter, and sends what is due.
    pub(super) fn add(&mut self, record: LogRecord) -> anyhow::Result<()> {
        let Entry::Letter(letter) = entry(&self.log.topic, &record) else {
            bail!("a letter was read as a marker");
        };
        if self.batch.is_empty() {
            self.since = Instant::now();
        }
        self.pacer.count(self.began.elapsed());
        self.bytes += record.bytes();
        self.batch.push((letter, record));
        self.commit_if_due()
    }

    pub(super) fn commit_if_due(&mut self) -> anyhow::Result<()> {
        let full = self.batch.len() >= RECORDS || self.bytes >= BYTES;
        if full || self.since.elapsed() >= LINGER {
            self.commit()?;
        }
        Ok(())
    }

    /// Sends what is held, in one transaction, or else each letter in one of its own, so that
    /// one that Kafka does not take holds up no other.
    pub(super) fn commit(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() || self.transaction(&batch)?.is_ok() {
            self.report.replayed += batch.len();
            return Ok(());
        }
        for letter in batch {
            self.alone(&letter)?;
        }
        Ok(())
    }

    fn alone(&mut self, letter: &(DeadLetter, LogRecord)) -> anyhow::Result<()> {
        let mut reason = String::new();
        for _ in 0..TRIES {
            match self.transaction(std::slice::from_ref(letter))? {
                Ok(()) => {
                    self.report.replayed += 1;
                    return Ok(());
                }
                Err(why) => reason = why,
            }
        }
        if self.report.refused.len() >= MOST_REFUSED {
            bail!("Kafka refuses letter after letter, the last one so: {reason}");
        }
        self.report.refused.push((letter.0.source(), reason));
        Ok(())
    }

    /// All letters and their markers, or nothing, and then why.
    fn transaction(&self, batch: &[(DeadLetter, LogRecord)]) -> anyhow::Result<Result<(), String>> {
        match self.send(batch) {
            Ok(()) => Ok(Ok(())),
            Err(TransactionError::Abortable(reason)) => {
                self.producer.abort().context("a transaction hangs")?;
                Ok(Err(reason))
            }
            Err(error @ TransactionError::Fenced(_)) => {
                Err(error).context("another replay has begun, and this one ends")
            }
            Err(error) => Err(error).context("run it again to go on where this one ended"),
        }
    }

    fn send(&self, batch: &[(DeadLetter, LogRecord)]) -> Result<(), TransactionError> {
        self.producer.begin()?;
        for (letter, record) in batch {
            let source = letter.source();
            let of = source.to_string();
            let admitted = admitted_source(letter, &self.log.topics);
            let headers = record.headers.iter();
            let own = headers
                .filter(|(name, _)| !DeadLetter::is_envelope_header(name) && name != REPLAY_OF)
                .map(|(name, value)| (name.as_str(), value.as_deref()));
            let mut headers: Vec<_> = own.chain([(REPLAY_OF, Some(of.as_bytes()))]).collect();
            let admitted_events = self.log.topics.admitted();
            let topic = match &admitted {
                Some(source) => {
                    headers.push((Source::HEADER, Some(source.as_bytes())));
                    &admitted_events
                }
                None => &letter.source_topic,
            };
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            self.producer.send(topic, key, value, &headers)?;
            let marker = Replayed {
                source,
                letter_offset: record.offset,
            };
            let headers = marker.headers();
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, Some(value.as_bytes())))
                .collect();
            let (topic, partition) = (&self.log.topic, Some(record.partition));
            self.producer
                .send_to(topic, partition, key, None, &headers)?;
        }
        self.producer.commit_records()
    }

    pub(super) fn done(&self) -> u64 {
        (self.report.replayed + self.report.refused.len()) as u64
    }

    /// Letters that retention took before they could be sent.
    pub(super) fn gone(&mut self, letters: usize) {
        self.report.gone = letters;
    }

    pub(super) fn interrupted(&mut self) {
        self.report.interrupted = true;
    }
}

/// What the header of an admitted event says, if the letter's event was admitted: it goes back
/// to where the database's refusal met it. In its own topic it would be a duplicate of itself.
fn admitted_source(letter: &DeadLetter, topics: &Topics) -> Option<String> {
    let kind = topics.kind_of(&letter.source_topic)?;
    let source = Source {
        kind,
        partition: letter.source_partition,
        offset: letter.source_offset,
        log_time: letter.recorded_at,
    };
    letter.was_admitted().then(|| source.to_string())
}
