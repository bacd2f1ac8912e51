//! One membership in the consumer group, from joining to leaving or to the first fault.

use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use platform::backoff::Backoff;
use platform::clock;
use platform::http::health::ComponentHealth;
use platform::kafka::admission::{Admission, RecordParts, Refusal, Sighting, Verdict};
use platform::kafka::client::KafkaClientConfig;
use platform::kafka::consumer::{
    Committed, ConsumerError, ConsumerSettings, PartitionConsumer, Polled, TopicPartition,
    start_offset,
};
use platform::kafka::refusals::RefusalLimit;
use platform::kafka::transactions::{TransactionError, TransactionalProducer};
use platform::lifecycle::Shutdown;
use platform::telemetry::names;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use schemas::dead_letter::Reason;
use schemas::{EventKind, Source, Timestamp, Topics, Watermarks};
use tokio::runtime::Handle;
use tracing::{debug, error, info, warn};

use crate::fault::SessionError;
use crate::held::{Cause, HeldRecords};
use crate::partitions::{Part, Partitions};
use crate::publisher::Publisher;
use crate::refused::{Refused, refused_since};

/// The broker ends a transaction that stays open longer, so that a vanished instance holds
/// up readers no longer than this.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle session looks at the shutdown.
const IDLE_POLL: Duration = Duration::from_millis(100);
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an assignment may take, well below the group's patience with a member that does
/// not poll.
const ASSIGNMENT: Duration = Duration::from_secs(30);
/// Of the pauses after a rebalance that came between.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Of so many records that are there one reads the clock, which takes long enough to show.
const CLOCK_EVERY: usize = 16;
/// How often watermarks are looked at, and records that wait.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What every session of this instance works with.
pub(crate) struct Session {
    pub(crate) client: KafkaClientConfig,
    pub(crate) topics: Topics,
    pub(crate) group: String,
    pub(crate) transactional_id: String,
    pub(crate) flush_interval: Duration,
    /// For how much log time an event's id is known.
    pub(crate) dedup_horizon: Duration,
    pub(crate) watermark_delay: Duration,
    pub(crate) refusal_limit: RefusalLimit,
    pub(crate) admission: Admission,
    pub(crate) runtime: Handle,
    pub(crate) health: ComponentHealth,
}

/// What is read, and what of it is not yet committed.
struct Open<'a> {
    session: &'a Session,
    consumer: &'a PartitionConsumer,
    publisher: Publisher,
    partitions: Partitions,
    /// Where the last record came from.
    last_read: Option<TopicPartition>,
    held: HeldRecords,
    /// How many partitions there are of all topics of events, of admitted events, of rollups.
    partition_counts: Option<(u32, [i32; 2])>,
    looked_around: Instant,
    /// Watermarks go with the next flush.
    watermarks_due: bool,
    /// Between commits that a rebalance came between.
    rebalanced: Backoff,
}

/// How long brokers may take to say where partitions begin.
struct Patience {
    until: Instant,
}

impl Patience {
    fn new() -> Self {
        Self {
            until: Instant::now() + ASSIGNMENT,
        }
    }

    /// For the next question.
    fn left(&self) -> Result<Duration, SessionError> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SessionError::SlowBrokers);
        }
        Ok(left.min(BROKER_TIMEOUT))
    }
}

impl Session {
    /// Reads until the shutdown. `schema_id` is the registry's id of rollup deltas.
    ///
    /// # Errors
    /// Any fault. What was not committed is read again by the next session.
    pub(crate) fn run(&self, schema_id: i32, shutdown: &Shutdown) -> Result<(), SessionError> {
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
            publisher: Publisher::new(producer, &self.topics, schema_id, self.flush_interval),
            partitions: Partitions::new(
                self.dedup_horizon,
                self.watermark_delay,
                self.refusal_limit,
            ),
            last_read: None,
            held: HeldRecords::default(),
            partition_counts: None,
            looked_around: Instant::now(),
            watermarks_due: false,
            rebalanced: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        };
        let outcome = open.read_until(shutdown);
        if let Err(error) = &outcome
            && error.leaves_transaction()
            && let Err(error) = open.publisher.abort()
        {
            debug!(%error, "a transaction is left to the broker to give up");
        }
        open.forget();
        drop(open);
        consumer.close();
        outcome
    }
}

impl<'a> Open<'a> {
    fn read_until(&mut self, shutdown: &Shutdown) -> Result<(), SessionError> {
        let mut now = Instant::now();
        let mut records = 0_usize;
        while !shutdown.is_triggered() {
            let mut polled = self.consumer.poll(Duration::ZERO)?;
            let waits = matches!(polled, Polled::Idle);
            if waits {
                polled = self.wait(now)?;
            }
            let mut idle = false;
            match polled {
                Polled::Record(record) => {
                    self.read(&record)?;
                    records += 1;
                    if !waits && !records.is_multiple_of(CLOCK_EVERY) {
                        continue;
                    }
                }
                Polled::Assigned(partitions) => self.begin(&partitions)?,
                Polled::Revoked(partitions) => {
                    self.flush_or_start_over()?;
                    self.release(&partitions)?;
                }
                // Another member reads them from the last commit on; what is held of them
                // must not be published.
                Polled::Lost(partitions) => return Err(SessionError::Lost(partitions.len())),
                Polled::Idle => idle = true,
            }
            now = Instant::now();
            if now.saturating_duration_since(self.looked_around) >= LOOK_AROUND {
                self.looked_around = now;
                self.try_held()?;
                self.look_for_watermarks()?;
            }
            if self.publisher.is_due(now, idle) {
                self.flush_or_start_over()?;
            }
        }
        self.flush()
    }

    /// Waits for more to read, as long as the open transaction may.
    fn wait(&self, now: Instant) -> Result<Polled<'a>, SessionError> {
        if !self.publisher.is_open() {
            return Ok(self.consumer.poll(IDLE_POLL)?);
        }
        self.publisher.send_off()?;
        Ok(self.consumer.poll(self.publisher.until_due(now))?)
    }

    /// Goes on where the group's last commit ended, after reading again what tells whether
    /// an event was there before.
    fn begin(&mut self, partitions: &[TopicPartition]) -> Result<(), SessionError> {
        let patience = Patience::new();
        let starts = self.assign(partitions, &patience)?;
        self.partition_counts = Some(self.count_partitions(&patience)?);
        self.consumer.accept_assignment(&starts)?;
        self.tell();
        info!(partitions = starts.len(), "partitions assigned");
        Ok(())
    }

    /// The same of all partitions that are read, after a transaction that was given up. The
    /// member stays in its group: if it left, the others would have to divide the partitions
    /// anew, and their commits would meet the same.
    fn start_over(&mut self) -> Result<(), SessionError> {
        self.publisher.abort()?;
        let all = self.partitions.all();
        self.consumer.resume(&self.held_of(&all))?;
        self.held.release(&all);
        let patience = Patience::new();
        let starts = self.assign(&all, &patience)?;
        self.consumer.seek(&starts, patience.left()?)?;
        self.tell();
        Ok(())
    }

    /// Takes partitions as they are committed; gives where each is to be read from.
    fn assign(
        &mut self,
        partitions: &[TopicPartition],
        patience: &Patience,
    ) -> Result<Vec<(TopicPartition, i64)>, SessionError> {
        let committed = self.consumer.committed(partitions, patience.left()?)?;
        let mut refused = self.refused_before(partitions, &committed, patience.until)?;
        let mut starts = Vec::with_capacity(partitions.len());
        for (partition, committed) in partitions.iter().zip(committed) {
            let (low, high) = self.consumer.watermarks(partition, patience.left()?)?;
            let next = committed.as_ref().map(|committed| committed.offset);
            let first = start_offset(next, low, high).map_err(|gone| SessionError::OffsetGone {
                partition: partition.clone(),
                gone,
            })?;
            let from = match committed.map(|c| self.partitions.warm_up_from(&c)) {
                None => first,
                Some(None) => low,
                Some(Some(millis)) => self
                    .consumer
                    .offset_at_time(partition, millis, patience.left()?)?
                    .map_or(first, |offset| offset.clamp(low, first)),
            };
            debug!(%partition, first, again = first - from, "reading");
            let refused = refused.remove(partition).unwrap_or_default();
            self.partitions.assign(partition.clone(), first, refused);
            starts.push((partition.clone(), from));
        }
        Ok(starts)
    }

    /// What was refused of the records that are read again.
    fn refused_before(
        &self,
        partitions: &[TopicPartition],
        committed: &[Option<Committed>],
        deadline: Instant,
    ) -> Result<Refused, SessionError> {
        let committed = committed.iter().flatten();
        let from = committed.map(|c| self.partitions.warm_up_from(c).unwrap_or(0));
        let Some(from) = from.min() else {
            return Ok(Refused::new());
        };
        let from = Timestamp::from_millis(from).unwrap_or(Timestamp::MIN);
        let (session, dead_letters) = (self.session, self.session.topics.dead_letters());
        let (client, group) = (&session.client, &session.group);
        refused_since(client, group, &dead_letters, from, partitions, deadline)
    }

    fn count_partitions(&self, patience: &Patience) -> Result<(u32, [i32; 2]), SessionError> {
        let count = |topic: &str| -> Result<i32, SessionError> {
            Ok(self.consumer.partition_count(topic, patience.left()?)?)
        };
        let topics = &self.session.topics;
        let mut sources = 0;
        for kind in EventKind::ALL {
            sources += count(&topics.events(kind))?.unsigned_abs();
        }
        let outputs = [count(&topics.admitted())?, count(&topics.rollups())?];
        Ok((sources, outputs))
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        // Should they come back, they are to be read.
        self.consumer.resume(&self.held_of(partitions))?;
        self.held.release(partitions);
        self.partitions.release(partitions);
        self.consumer.release(partitions)?;
        self.tell();
        info!(partitions = partitions.len(), "partitions released");
        Ok(())
    }

    /// Those of which a record waits: their reading is paused.
    fn held_of(&self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let held = partitions.iter().filter(|p| self.held.holds(p));
        held.cloned().collect()
    }

    fn read(&mut self, record: &BorrowedMessage<'_>) -> Result<(), SessionError> {
        // Most come from where the one before came from.
        let (topic, number) = (record.topic(), record.partition());
        let same = |last: &TopicPartition| last.partition == number && last.topic == topic;
        let partition = self.last_read.take().filter(same);
        let partition = partition.unwrap_or_else(|| TopicPartition::new(topic, number));
        if let Some(cause) = self.take(&partition, record)? {
            self.consumer.pause(std::slice::from_ref(&partition))?;
            self.held.hold(partition.clone(), record.detach(), cause);
            self.tell();
        }
        self.last_read = Some(partition);
        Ok(())
    }

    /// Tries records again that wait.
    fn try_held(&mut self) -> Result<(), SessionError> {
        while let Some((partition, due)) = self.held.due(Instant::now()) {
            match self.take(&partition, due.record())? {
                Some(cause) => self.held.hold_again(partition, due, cause),
                None => {
                    info!(%partition, "reading on");
                    self.consumer.resume(&[partition])?;
                }
            }
            self.tell();
        }
        Ok(())
    }

    /// Takes a record, or says why it has to wait.
    fn take(
        &mut self,
        partition: &TopicPartition,
        record: &impl Message,
    ) -> Result<Option<Cause>, SessionError> {
        let kind = self.session.topics.kind_of(record.topic());
        let kind = kind.ok_or_else(|| SessionError::ForeignTopic(record.topic().to_owned()))?;
        let offset = record.offset();
        // Fetched ahead from a partition that is another's by now.
        let Some(reading) = self.partitions.reading(partition) else {
            return Ok(None);
        };
        let part = reading.part(offset);
        let parts = RecordParts::of(record);
        if part == Part::Refused {
            reading.read(offset, parts.log_time, true);
            return Ok(None);
        }
        let judged = self
            .session
            .admission
            .judge(&self.session.runtime, kind, parts);
        let verdict = match judged {
            Ok(verdict) => verdict,
            Err(error) => {
                warn!(%partition, offset, %error, "a schema cannot be looked up; the partition waits");
                return Ok(Some(Cause::Registry));
            }
        };
        let refused = matches!(verdict, Verdict::Refused(_));
        if refused
            && part == Part::New
            && let Some((count, of)) = reading.too_many_refused()
        {
            error!(
                %partition, offset, refused = count, of,
                max_share = self.session.refusal_limit.max_share,
                "stopped reading a partition: too large a share of its records is refused; see \
                 `flowmeter dead-letters list`, and raise DEAD_LETTER_MAX_SHARE to read on"
            );
            return Ok(Some(Cause::BadShare));
        }
        reading.read(offset, parts.log_time, refused);
        if part == Part::New {
            self.publisher.open()?;
        }
        let sighting = match &verdict {
            Verdict::Admitted(event) => reading.see(event, parts.log_time),
            Verdict::Refused(_) => Sighting::First,
        };
        match (part, verdict, sighting) {
            (Part::Known | Part::Refused, ..) => {}
            (Part::New, Verdict::Refused(refusal), _) => self.publisher.bury(record, &refusal)?,
            (Part::New, Verdict::Admitted(event), Sighting::First) => {
                let source = Source {
                    kind,
                    partition: record.partition(),
                    offset,
                    log_time: parts.log_time,
                };
                self.publisher.admit(record, &event, source)?;
            }
            (Part::New, Verdict::Admitted(_), Sighting::Again) => {
                counter!(names::DUPLICATES, "kind" => kind.as_str()).increment(1);
            }
            (Part::New, Verdict::Admitted(event), Sighting::Conflicting) => {
                let message = "an earlier event with this event_id says something else";
                let refusal = Refusal::new(Reason::ConflictingDuplicate, message);
                let refusal = refusal.of_event(event.common().event_id);
                self.publisher.bury(record, &refusal)?;
            }
        }
        Ok(None)
    }

    /// Has watermarks published that moved. A partition that is silent is asked about, since
    /// nothing else tells that nothing came.
    fn look_for_watermarks(&mut self) -> Result<(), SessionError> {
        let now = clock::now();
        for partition in self.partitions.silent(now) {
            if self.held.holds(&partition) {
                continue;
            }
            match self.consumer.read_to_end(&partition, LOOK_AROUND) {
                Ok(true) => self.partitions.read_to_end(&partition, now),
                Ok(false) => {}
                Err(error) => {
                    debug!(%partition, %error, "not known whether there is more to read");
                    break;
                }
            }
        }
        if !self.partitions.watermarks().is_empty() {
            self.watermarks_due = true;
            self.publisher.open()?;
        }
        Ok(())
    }

    /// Flushes; if a rebalance came between, what was read since the last commit is read again.
    fn flush_or_start_over(&mut self) -> Result<(), SessionError> {
        match self.flush() {
            Err(SessionError::Transaction(TransactionError::Rebalanced(reason))) => {
                let pause = self.rebalanced.pause();
                info!(%reason, pause_ms = pause.as_millis(), "reading again from the last commit");
                counter!(names::CONSUMER_SESSIONS, "service" => "aggregator", "outcome" => "rebalanced")
                    .increment(1);
                // Until the group has settled, the next commit would be refused as well.
                std::thread::sleep(pause);
                self.start_over()
            }
            flushed => {
                self.rebalanced.reset();
                flushed
            }
        }
    }

    /// Publishes what is held and commits it with the offsets it comes from.
    fn flush(&mut self) -> Result<(), SessionError> {
        if !self.publisher.is_open() {
            return Ok(());
        }
        let moved = if std::mem::take(&mut self.watermarks_due) {
            self.partitions.watermarks()
        } else {
            Default::default()
        };
        let watermarks =
            self.partition_counts
                .filter(|_| !moved.is_empty())
                .map(|(sources, outputs)| {
                    let until = moved.iter().filter_map(|(partition, until)| {
                        let kind = self.session.topics.kind_of(&partition.topic)?;
                        Some(((kind, partition.partition), *until))
                    });
                    let watermarks = Watermarks {
                        sources,
                        partitions: 0,
                        until: until.collect(),
                    };
                    (watermarks, outputs)
                });
        let group = self.consumer.group_metadata()?;
        self.publisher
            .commit(self.partitions.positions(), watermarks, &group)?;
        self.partitions.committed();
        self.partitions.published(&moved);
        gauge!(names::KNOWN_IDS).set(self.partitions.ids() as f64);
        if let Some(oldest) = self.partitions.oldest_watermark() {
            gauge!(names::WATERMARK).set(oldest.micros() as f64 / 1e6);
        }
        Ok(())
    }

    /// Tells health and metrics which partitions wait.
    fn tell(&self) {
        match self.held.gravest() {
            None => self.session.health.up(),
            Some(cause) => self.session.health.down(cause.reason()),
        }
        self.count_held();
    }

    /// Nothing waits any more.
    fn forget(&mut self) {
        self.held = HeldRecords::default();
        self.count_held();
    }

    fn count_held(&self) {
        for cause in Cause::ALL {
            let count = self.held.count(cause);
            gauge!(names::PARTITIONS_HELD, "reason" => cause.as_str()).set(count as f64);
        }
    }
}
