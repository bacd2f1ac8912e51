//! What one Kafka transaction holds: forwarded events, dead letters, sums, watermarks, and the
//! offsets they come from.

use std::time::{Duration, Instant};

use metrics::{Counter, counter, histogram};
use platform::kafka::admission::Refusal;
use platform::kafka::registry::frame;
use platform::kafka::transactions::{TransactionError, TransactionalProducer};
use platform::kafka::{dead_letters, sources};
use platform::telemetry::delays::Delays;
use platform::telemetry::names;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::codec::encode_rollups;
use schemas::{Event, EventKind, Source, Topics, Watermarks};
use tracing::debug;

use crate::accumulator::Accumulator;
use crate::fault::SessionError;
use crate::partitions::Position;

/// Sums held at most; a flush comes early when there are more. About 10 MB.
const MAX_SUMS: usize = 10_000;
const STAGE: &str = "aggregator";

/// The open transaction, if one is open.
pub(crate) struct Publisher {
    producer: TransactionalProducer,
    flush_interval: Duration,
    /// The registry's id of rollup deltas.
    schema_id: i32,
    admitted_topic: String,
    rollups_topic: String,
    dead_letters_topic: String,
    sums: Accumulator,
    delays: Delays,
    /// The text of the last record's source, whose memory the next one uses.
    source: String,
    /// Of each kind. Looking a counter up costs more than counting.
    admitted: [Counter; EventKind::ALL.len()],
    dead: usize,
    /// When it was opened.
    since: Option<Instant>,
    /// When the last one ended, and how long they take.
    last_commit: Option<(Instant, Duration)>,
}

impl Publisher {
    pub(crate) fn new(
        producer: TransactionalProducer,
        topics: &Topics,
        schema_id: i32,
        flush_interval: Duration,
    ) -> Self {
        Self {
            producer,
            flush_interval,
            schema_id,
            admitted_topic: topics.admitted(),
            rollups_topic: topics.rollups(),
            dead_letters_topic: topics.dead_letters(),
            sums: Accumulator::default(),
            delays: Delays::default(),
            source: String::new(),
            admitted: EventKind::ALL
                .map(|kind| counter!(names::RECORDS_ADMITTED, "kind" => kind.as_str())),
            dead: 0,
            since: None,
            last_commit: None,
        }
    }

    /// Opens a transaction unless one is open.
    pub(crate) fn open(&mut self) -> Result<(), TransactionError> {
        if self.since.is_none() {
            self.producer.begin()?;
            self.since = Some(Instant::now());
        }
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// Whether to commit now; `idle`: there is nothing more to read at the moment. Then what
    /// is held goes at once, if no more records may be waited for: an event that comes
    /// alone waits for nobody, and many do not make a transaction each.
    pub(crate) fn is_due(&self, now: Instant, idle: bool) -> bool {
        self.since.is_some_and(|since| {
            now.saturating_duration_since(since) >= self.flush_interval
                || self.sums.len() >= MAX_SUMS
                || (idle && self.until_due(now).is_zero())
        })
    }

    /// How long more records may be waited for: since the last commit, twice as long as commits
    /// take, so that about a third of the time at most goes to them, and never longer than the
    /// flush interval.
    pub(crate) fn until_due(&self, now: Instant) -> Duration {
        self.last_commit.map_or(Duration::ZERO, |(ended, usual)| {
            let wait = self.flush_interval.min(usual * 2);
            wait.saturating_sub(now.saturating_duration_since(ended))
        })
    }

    /// Puts forwarded records on their way while nothing more is to be read, so that the commit
    /// need not wait for them.
    pub(crate) fn send_off(&self) -> Result<(), TransactionError> {
        self.producer.send_off()
    }

    /// Counts an event and forwards its record.
    pub(crate) fn admit(
        &mut self,
        record: &impl Message,
        event: &Event,
        source: Source,
    ) -> Result<(), TransactionError> {
        self.source.clear();
        source.write_to(&mut self.source);
        let headers = sources::headers(record, &self.source);
        let topic = &self.admitted_topic;
        self.producer
            .send(topic, record.key(), record.payload(), &headers)?;
        self.sums.add(event);
        self.delays.add(source.log_time);
        self.admitted[source.kind as usize].increment(1);
        Ok(())
    }

    /// Puts a refused record among the dead letters.
    pub(crate) fn bury(
        &mut self,
        record: &impl Message,
        refusal: &Refusal,
    ) -> Result<(), TransactionError> {
        let letter = dead_letters::letter(record, refusal, STAGE);
        let headers = letter.headers(record);
        let topic = &self.dead_letters_topic;
        self.producer
            .send(topic, letter.key, letter.value, &headers)?;
        self.dead += 1;
        let reason = refusal.reason.as_str();
        counter!(names::DEAD_LETTERS, "reason" => reason).increment(1);
        debug!(
            reason,
            topic = record.topic(),
            partition = record.partition(),
            offset = record.offset(),
            "record refused"
        );
        Ok(())
    }

    /// Publishes the sums, then the watermarks, into every partition of the topics that
    /// `partitions` counts (admitted events, rollups), and commits all with the offsets they
    /// come from.
    pub(crate) fn commit(
        &mut self,
        positions: Vec<Position>,
        watermarks: Option<(Watermarks, [i32; 2])>,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), SessionError> {
        let began = Instant::now();
        let mut deltas = 0;
        let oldest = self
            .delays
            .oldest()
            .map_or(0, |at| at.micros().div_euclid(1000));
        let oldest = oldest.to_string();
        let oldest = [(sources::OLDEST_HEADER, Some(oldest.as_bytes()))];
        for batch in self.sums.take() {
            deltas += batch.entries.len();
            let key = batch.organization_id.to_string();
            let avro = encode_rollups(&batch).map_err(SessionError::Encoding)?;
            let value = frame(self.schema_id, &avro);
            let topic = &self.rollups_topic;
            self.producer
                .send(topic, Some(key.as_bytes()), Some(&value), &oldest)?;
        }
        if let Some((watermarks, partitions)) = watermarks {
            self.send_watermarks(watermarks, partitions)?;
        }
        self.producer.commit(&offsets(positions)?, group)?;
        self.since = None;
        let took = began.elapsed();
        let usual = self
            .last_commit
            .map_or(took, |(_, usual)| smoothed(usual, took));
        self.last_commit = Some((began + took, usual));
        self.delays.arrived(names::ROLLUP_DELAY);
        counter!(names::AGGREGATOR_DELTAS).increment(deltas as u64);
        histogram!(names::AGGREGATOR_FLUSH_DURATION).record(took);
        let dead_letters = std::mem::take(&mut self.dead);
        debug!(deltas, dead_letters, elapsed = ?took, "flushed");
        Ok(())
    }

    fn send_watermarks(
        &self,
        mut watermarks: Watermarks,
        partitions: [i32; 2],
    ) -> Result<(), TransactionError> {
        let topics = [&self.admitted_topic, &self.rollups_topic];
        for (topic, partitions) in topics.into_iter().zip(partitions) {
            watermarks.partitions = partitions.unsigned_abs();
            let text = watermarks.to_header();
            let header = [(Watermarks::HEADER, Some(text.as_bytes()))];
            for partition in 0..partitions {
                self.producer
                    .send_to(topic, Some(partition), None, None, &header)?;
            }
        }
        Ok(())
    }

    /// Gives up what is open, so that readers need not wait for the broker to do it.
    ///
    /// # Errors
    /// Those of [`TransactionalProducer::abort`].
    pub(crate) fn abort(&mut self) -> Result<(), TransactionError> {
        self.sums = Accumulator::default();
        self.delays = Delays::default();
        self.dead = 0;
        if self.since.take().is_some() {
            self.producer.abort()?;
        }
        Ok(())
    }
}

/// The mean of durations that forgets, with the weight that TCP gives to a new round trip (RFC
/// 6298): one that took long must not make the next ones wait.
fn smoothed(usual: Duration, took: Duration) -> Duration {
    (usual * 7 + took) / 8
}

fn offsets(positions: Vec<Position>) -> Result<TopicPartitionList, SessionError> {
    let mut offsets = TopicPartitionList::with_capacity(positions.len());
    for position in positions {
        let Position {
            partition,
            next,
            note,
        } = position;
        let mut added = offsets.add_partition(&partition.topic, partition.partition);
        added
            .set_offset(Offset::Offset(next))
            .map_err(platform::kafka::consumer::ConsumerError::from)?;
        added.set_metadata(note);
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_commit_is_soon_forgotten() {
        let of = |millis: &[u64]| {
            let mut took = millis.iter().copied().map(Duration::from_millis);
            let first = took.next().unwrap();
            took.fold(first, smoothed).as_millis()
        };
        assert_eq!(of(&[8, 8, 8]), 8);
        assert_eq!(of(&[8, 48]), 13);
        assert_eq!(of(&[8, 48, 8, 8, 8, 8, 8, 8, 8, 8]), 9);
        // What lasts is believed.
        assert_eq!(of(&[[8].as_slice(), &[48; 30]].concat()), 47);
    }
}
