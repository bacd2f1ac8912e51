//! One membership in the consumer group, from joining to leaving or to the first fault.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use platform::http::health::ComponentHealth;
use platform::kafka::admission::{Admission, RecordParts, Refusal, Verdict};
use platform::kafka::client::KafkaClientConfig;
use platform::kafka::consumer::{
    ConsumerSettings, PartitionConsumer, Polled, TopicPartition, start_offset,
};
use platform::kafka::dead_letters;
use platform::kafka::registry::frame;
use platform::kafka::transactions::TransactionalProducer;
use platform::lifecycle::Shutdown;
use platform::telemetry::names;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::codec::encode_rollups;
use schemas::{EventKind, Topics};
use tokio::runtime::Handle;
use tracing::{debug, info};

use crate::accumulator::Accumulator;

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
    pub(crate) admission: Admission,
    pub(crate) runtime: Handle,
    pub(crate) health: ComponentHealth,
}

/// What was read and is not yet committed.
struct Open<'a> {
    session: &'a Session,
    consumer: &'a PartitionConsumer,
    producer: TransactionalProducer,
    schema_id: i32,
    sums: Accumulator,
    /// The next offset of each partition read from; empty if no transaction is open.
    next: BTreeMap<TopicPartition, i64>,
    since: Instant,
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
            sums: Accumulator::default(),
            next: BTreeMap::new(),
            since: Instant::now(),
            dead: 0,
        };
        while !shutdown.is_triggered() {
            match consumer.poll(open.patience(self.flush_interval))? {
                Polled::Record(record) => open.read(&record)?,
                Polled::Assigned(partitions) => self.begin_at(&consumer, &partitions)?,
                Polled::Revoked(partitions) => {
                    open.flush()?;
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

    /// Starts reading where the group's last commit ended.
    fn begin_at(
        &self,
        consumer: &PartitionConsumer,
        partitions: &[TopicPartition],
    ) -> anyhow::Result<()> {
        let committed = consumer.committed(partitions, BROKER_TIMEOUT)?;
        let mut starts = Vec::with_capacity(partitions.len());
        for (partition, committed) in partitions.iter().zip(committed) {
            let (low, high) = consumer.watermarks(partition, BROKER_TIMEOUT)?;
            let start = start_offset(committed, low, high)
                .map_err(|gone| anyhow::anyhow!("{partition}: {gone}; records are missing"))?;
            starts.push((partition.clone(), start));
        }
        consumer.accept_assignment(&starts)?;
        self.health.up();
        info!(partitions = starts.len(), "partitions assigned");
        Ok(())
    }
}

impl Open<'_> {
    fn patience(&self, flush_interval: Duration) -> Duration {
        if self.next.is_empty() {
            IDLE_POLL
        } else {
            flush_interval.saturating_sub(self.since.elapsed())
        }
    }

    fn is_due(&self, flush_interval: Duration) -> bool {
        !self.next.is_empty()
            && (self.since.elapsed() >= flush_interval || self.sums.len() >= MAX_SUMS)
    }

    fn read(&mut self, record: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        if self.next.is_empty() {
            self.producer.begin()?;
            self.since = Instant::now();
        }
        let kind =
            self.session.topics.kind_of(record.topic()).ok_or_else(|| {
                anyhow::anyhow!("a record of {}, not subscribed to", record.topic())
            })?;
        let parts = RecordParts::of(record);
        match self
            .session
            .admission
            .judge(&self.session.runtime, kind, parts)?
        {
            Verdict::Admitted(event) => {
                self.sums.add(&event);
                counter!(names::RECORDS_ADMITTED, "kind" => kind.as_str()).increment(1);
            }
            Verdict::Refused(refusal) => self.bury(record, &refusal)?,
        }
        let partition = TopicPartition::new(record.topic(), record.partition());
        self.next.insert(partition, record.offset() + 1);
        Ok(())
    }

    /// Puts a refused record among the dead letters, as part of the transaction.
    fn bury(&mut self, record: &BorrowedMessage<'_>, refusal: &Refusal) -> anyhow::Result<()> {
        let envelope = dead_letters::envelope(record, refusal, STAGE).headers();
        let headers = dead_letters::headers(record, &envelope);
        let topic = self.session.topics.dead_letters();
        self.producer
            .send(&topic, record.key(), record.payload(), &headers)?;
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
        if self.next.is_empty() {
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
        let mut offsets = TopicPartitionList::with_capacity(self.next.len());
        for (partition, next) in &self.next {
            let offset = Offset::Offset(*next);
            offsets.add_partition_offset(&partition.topic, partition.partition, offset)?;
        }
        let group = self.consumer.group_metadata()?;
        self.producer.commit(&offsets, &group)?;
        self.next.clear();
        counter!(names::AGGREGATOR_DELTAS).increment(deltas as u64);
        histogram!(names::AGGREGATOR_FLUSH_DURATION).record(began.elapsed());
        let dead_letters = std::mem::take(&mut self.dead);
        debug!(deltas, dead_letters, elapsed = ?began.elapsed(), "flushed");
        Ok(())
    }
}
