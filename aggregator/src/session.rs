//! One membership in the consumer group, from joining to leaving or to the first fault.

use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use platform::http::health::ComponentHealth;
use platform::kafka::admission::{Admission, RecordParts, Refusal, Sighting, Verdict};
use platform::kafka::client::KafkaClientConfig;
use platform::kafka::consumer::{
    ConsumerSettings, PartitionConsumer, Polled, TopicPartition, start_offset,
};
use platform::kafka::registry::frame;
use platform::kafka::transactions::TransactionalProducer;
use platform::kafka::{dead_letters, sources};
use platform::lifecycle::Shutdown;
use platform::telemetry::names;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::codec::encode_rollups;
use schemas::dead_letter::Reason;
use schemas::{Event, EventKind, Source, Topics};
use tokio::runtime::Handle;
use tracing::{debug, info};

use crate::accumulator::Accumulator;
use crate::partitions::{Part, Partitions, Position};

/// The broker ends a transaction that stays open longer, so that a vanished instance holds
/// up readers no longer than this.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle session looks at the shutdown.
const IDLE_POLL: Duration = Duration::from_millis(100);
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// Sums held at most; a flush comes early when there are more. About 10 MB.
const MAX_SUMS: usize = 10_000;
const STAGE: &str = "aggregator";

/// What every session of this instance works with.
pub(crate) struct Session {
    pub(crate) client: KafkaClientConfig,
    pub(crate) topics: Topics,
    pub(crate) group: String,
    pub(crate) transactional_id: String,
    pub(crate) flush_interval: Duration,
    /// For how much log time an event's id is known.
    pub(crate) dedup_horizon: Duration,
    pub(crate) admission: Admission,
    pub(crate) runtime: Handle,
    pub(crate) health: ComponentHealth,
}

/// What is read, and what of it is not yet committed.
struct Open<'a> {
    session: &'a Session,
    consumer: &'a PartitionConsumer,
    producer: TransactionalProducer,
    schema_id: i32,
    admitted_topic: String,
    dead_letters_topic: String,
    partitions: Partitions,
    sums: Accumulator,
    /// When the open transaction began, if one is open.
    since: Option<Instant>,
    dead: usize,
}

impl Session {
    /// Reads until the shutdown. `schema_id` is the registry's id of rollup deltas.
    ///
    /// # Errors
    /// Any fault. What was not committed is read again by the next session.
    pub(crate) fn run(&self, schema_id: i32, shutdown: &Shutdown) -> anyhow::Result<()> {
        // Fences a predecessor of the same id before anything is read.
        let producer =
            TransactionalProducer::new(&self.client, &self.transactional_id, TRANSACTION_TIMEOUT)?;
        let topics = EventKind::ALL.map(|kind| self.topics.events(kind));
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let settings = ConsumerSettings::new(&self.group);
        let consumer = PartitionConsumer::new(&self.client, &settings, &names)?;
        let mut open = Open {
            session: self,
            consumer: &consumer,
            producer,
            schema_id,
            admitted_topic: self.topics.admitted(),
            dead_letters_topic: self.topics.dead_letters(),
            partitions: Partitions::new(self.dedup_horizon),
            sums: Accumulator::default(),
            since: None,
            dead: 0,
        };
        while !shutdown.is_triggered() {
            match consumer.poll(open.patience(self.flush_interval))? {
                Polled::Record(record) => open.read(&record)?,
                Polled::Assigned(partitions) => open.begin(&partitions)?,
                Polled::Revoked(partitions) => {
                    open.flush()?;
                    open.partitions.release(&partitions);
                    consumer.release(&partitions)?;
                    info!(partitions = partitions.len(), "partitions released");
                }
                // Another member reads them from the last commit on; what is held of them
                // must not be published.
                Polled::Lost(partitions) => anyhow::bail!("lost {} partitions", partitions.len()),
                Polled::Idle => {}
            }
            if open.is_due(self.flush_interval) {
                open.flush()?;
            }
        }
        open.flush()?;
        drop(open);
        consumer.close();
        Ok(())
    }
}

impl Open<'_> {
    /// Goes on where the group's last commit ended, after reading again what tells whether
    /// an event was there before.
    fn begin(&mut self, partitions: &[TopicPartition]) -> anyhow::Result<()> {
        let committed = self.consumer.committed(partitions, BROKER_TIMEOUT)?;
        let mut starts = Vec::with_capacity(partitions.len());
        for (partition, committed) in partitions.iter().zip(committed) {
            let (low, high) = self.consumer.watermarks(partition, BROKER_TIMEOUT)?;
            let next = committed.as_ref().map(|committed| committed.offset);
            let first = start_offset(next, low, high)
                .map_err(|gone| anyhow::anyhow!("{partition}: {gone}; records are missing"))?;
            let from = match committed.map(|c| self.partitions.warm_up_from(&c)) {
                None => first,
                Some(None) => low,
                Some(Some(millis)) => self
                    .consumer
                    .offset_at_time(partition, millis, BROKER_TIMEOUT)?
                    .map_or(first, |offset| offset.clamp(low, first)),
            };
            debug!(%partition, first, again = first - from, "reading");
            self.partitions.assign(partition.clone(), first);
            starts.push((partition.clone(), from));
        }
        self.consumer.accept_assignment(&starts)?;
        self.session.health.up();
        info!(partitions = starts.len(), "partitions assigned");
        Ok(())
    }

    fn patience(&self, flush_interval: Duration) -> Duration {
        self.since.map_or(IDLE_POLL, |since| {
            flush_interval.saturating_sub(since.elapsed())
        })
    }

    fn is_due(&self, flush_interval: Duration) -> bool {
        self.since
            .is_some_and(|since| since.elapsed() >= flush_interval || self.sums.len() >= MAX_SUMS)
    }

    fn read(&mut self, record: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        let kind =
            self.session.topics.kind_of(record.topic()).ok_or_else(|| {
                anyhow::anyhow!("a record of {}, not subscribed to", record.topic())
            })?;
        let parts = RecordParts::of(record);
        // Judged first: a record that cannot be judged now is not read yet.
        let verdict = self
            .session
            .admission
            .judge(&self.session.runtime, kind, parts)?;
        let partition = TopicPartition::new(record.topic(), record.partition());
        let part = self
            .partitions
            .read(&partition, record.offset(), parts.log_time);
        // Fetched ahead from a partition that is another's by now.
        let Some(part) = part else { return Ok(()) };
        if part == Part::New && self.since.is_none() {
            self.producer.begin()?;
            self.since = Some(Instant::now());
        }
        let sighting = match &verdict {
            Verdict::Admitted(event) => self.partitions.see(&partition, event, parts.log_time),
            Verdict::Refused(_) => Sighting::First,
        };
        match (part, verdict, sighting) {
            (Part::Known, ..) => Ok(()),
            (Part::New, Verdict::Refused(refusal), _) => self.bury(record, &refusal),
            (Part::New, Verdict::Admitted(event), Sighting::First) => {
                let source = Source {
                    kind,
                    partition: record.partition(),
                    offset: record.offset(),
                    log_time: parts.log_time,
                };
                self.admit(record, &event, source)
            }
            (Part::New, Verdict::Admitted(_), Sighting::Again) => {
                counter!(names::DUPLICATES, "kind" => kind.as_str()).increment(1);
                Ok(())
            }
            (Part::New, Verdict::Admitted(event), Sighting::Conflicting) => {
                let message = "an earlier event with this event_id says something else";
                let refusal = Refusal::new(Reason::ConflictingDuplicate, message);
                self.bury(record, &refusal.of_event(event.common().event_id))
            }
        }
    }

    /// Counts an event and forwards its record, as part of the transaction.
    fn admit(
        &mut self,
        record: &BorrowedMessage<'_>,
        event: &Event,
        source: Source,
    ) -> anyhow::Result<()> {
        let header = source.to_string();
        let headers = sources::headers(record, &header);
        let topic = &self.admitted_topic;
        self.producer
            .send(topic, record.key(), record.payload(), &headers)?;
        self.sums.add(event);
        counter!(names::RECORDS_ADMITTED, "kind" => source.kind.as_str()).increment(1);
        Ok(())
    }

    /// Puts a refused record among the dead letters, as part of the transaction.
    fn bury(&mut self, record: &BorrowedMessage<'_>, refusal: &Refusal) -> anyhow::Result<()> {
        let envelope = dead_letters::envelope(record, refusal, STAGE).headers();
        let headers = dead_letters::headers(record, &envelope);
        let topic = &self.dead_letters_topic;
        self.producer
            .send(topic, record.key(), record.payload(), &headers)?;
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

    /// Publishes the sums and commits them with the offsets they come from.
    fn flush(&mut self) -> anyhow::Result<()> {
        if self.since.is_none() {
            return Ok(());
        }
        let began = Instant::now();
        let topic = self.session.topics.rollups();
        let mut deltas = 0;
        for batch in self.sums.take() {
            deltas += batch.entries.len();
            let key = batch.organization_id.to_string();
            let avro = encode_rollups(&batch).map_err(anyhow::Error::msg)?;
            let value = frame(self.schema_id, &avro);
            self.producer
                .send(&topic, Some(key.as_bytes()), Some(&value), &[])?;
        }
        let positions = self.partitions.positions();
        let mut offsets = TopicPartitionList::with_capacity(positions.len());
        for Position {
            partition,
            next,
            note,
        } in positions
        {
            let mut added = offsets.add_partition(&partition.topic, partition.partition);
            added.set_offset(Offset::Offset(next))?;
            added.set_metadata(note);
        }
        let group = self.consumer.group_metadata()?;
        self.producer.commit(&offsets, &group)?;
        self.partitions.committed();
        self.since = None;
        gauge!(names::KNOWN_IDS).set(self.partitions.ids() as f64);
        counter!(names::AGGREGATOR_DELTAS).increment(deltas as u64);
        histogram!(names::AGGREGATOR_FLUSH_DURATION).record(began.elapsed());
        let dead_letters = std::mem::take(&mut self.dead);
        debug!(deltas, dead_letters, elapsed = ?began.elapsed(), "flushed");
        Ok(())
    }
}
