//! From joining the group until something ends it.

use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use platform::{
    http::health::ComponentHealth,
    kafka::{
        client::KafkaClientConfig,
        consumer::{
            ConsumerError, ConsumerSettings, OffsetGone, PartitionConsumer, Polled, TopicPartition,
        },
        registry::LookupError,
        sessions::SessionFault,
    },
    lifecycle::Shutdown,
    telemetry::names,
};
use rdkafka::Message;
use schemas::{Topics, Window};
use tokio::runtime::Handle;

use crate::{
    batch::{Batch, Limits},
    cursors::{Cursors, start},
    decode::Decoder,
    expand::expand,
    store::{Store, StoreError},
};

/// How long the brokers may take to tell where a log begins and ends.
const WATERMARKS: Duration = Duration::from_secs(10);
/// How long the group may take to give this instance partitions, before it counts as one
/// that stands by.
const STANDBY: Duration = Duration::from_secs(15);

/// Why a session ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error(transparent)]
    Registry(#[from] LookupError),
    #[error("records of {partition} are missing: {gone}")]
    OffsetGone {
        partition: TopicPartition,
        gone: OffsetGone,
    },
    #[error("the group gave this member up while it held records")]
    Lost,
}

impl SessionFault for SessionError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Fenced(_)) => "fenced",
            Self::Store(_) => "database",
            Self::OffsetGone { .. } | Self::Consumer(ConsumerError::OffsetOutOfRange) => {
                "offset_gone"
            }
            Self::Consumer(_) => "kafka",
            Self::Registry(_) => "registry",
            Self::Lost => "lost",
        }
    }

    fn reason(&self) -> &'static str {
        match self.outcome() {
            "fenced" => "another instance moved a cursor; beginning anew",
            "database" => "the database cannot be written",
            "offset_gone" => "records that were never stored are missing from Kafka",
            "kafka" => "Kafka cannot be read",
            "registry" => "the schema registry cannot be asked",
            _ => "the consumer group gave this instance up; beginning anew",
        }
    }
}

/// What stays the same from session to session.
pub(crate) struct Settings {
    pub(crate) runtime: Handle,
    pub(crate) client: KafkaClientConfig,
    pub(crate) group: String,
    pub(crate) topics: Topics,
    pub(crate) windows: Vec<Window>,
    pub(crate) decoder: Decoder,
    pub(crate) health: ComponentHealth,
}

/// What one session holds.
pub(crate) struct Session<'a> {
    settings: &'a Settings,
    limits: Limits,
    store: Store,
    consumer: PartitionConsumer,
    cursors: Cursors,
    batch: Batch,
    last_write: Duration,
    /// Until it was told that this instance works.
    unproven_since: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Joins the group.
    pub(crate) fn join(
        settings: &'a Settings,
        limits: Limits,
        store: Store,
    ) -> Result<Self, SessionError> {
        let topics = &settings.topics;
        let names = [topics.admitted(), topics.dead_letters()];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let consumer = PartitionConsumer::new(
            &settings.client,
            &ConsumerSettings::new(&settings.group),
            &names,
        )?;
        Ok(Self {
            settings,
            limits,
            store,
            consumer,
            cursors: Cursors::default(),
            batch: Batch::default(),
            last_write: Duration::ZERO,
            unproven_since: Some(Instant::now()),
        })
    }

    /// Reads and writes until asked to end; what is held then is written. After an error it
    /// is forgotten, to be read again.
    pub(crate) fn run(mut self, shutdown: &Shutdown) -> Result<(), SessionError> {
        let limits = self.limits;
        while !shutdown.is_triggered() {
            match self.step(limits.wait(&self.batch)) {
                Ok(idle) if limits.is_due(&self.batch, idle, self.last_write) => self.write()?,
                Ok(_) => {}
                Err(error @ SessionError::Registry(_)) => {
                    // What came before is known, and the next session is spared of it.
                    self.write()?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
            self.prove_standby();
        }
        self.write()
    }

    /// An instance without partitions, when there are more instances than those, works as
    /// well once the brokers answer it.
    fn prove_standby(&mut self) {
        let is_time = |since: Instant| since.elapsed() >= STANDBY;
        if self.unproven_since.is_some_and(is_time) {
            let any = TopicPartition::new(self.settings.topics.admitted(), 0);
            match self.consumer.watermarks(&any, Duration::from_secs(2)) {
                Ok(_) => self.up(),
                Err(_) => self.unproven_since = Some(Instant::now()),
            }
        }
    }

    fn up(&mut self) {
        self.unproven_since = None;
        self.settings.health.up();
    }

    /// Polls once; `true` when that brought no record.
    fn step(&mut self, wait: Duration) -> Result<bool, SessionError> {
        match self.consumer.poll(wait)? {
            Polled::Record(record) => {
                let partition = TopicPartition::new(record.topic(), record.partition());
                // Decoded first: a record that cannot be decoded now is not read yet.
                let item = self.settings.decoder.decode(&record)?;
                if self.cursors.read(&partition, record.offset()) {
                    let bytes = record.key_len() + record.payload_len();
                    self.batch.add(item, bytes);
                }
                return Ok(false);
            }
            Polled::Assigned(partitions) => self.begin(&partitions)?,
            Polled::Revoked(partitions) => {
                self.write()?;
                self.release(&partitions)?;
            }
            Polled::Lost(partitions) => {
                // Some of what is held may be another's now, and it is not told apart.
                if !self.batch.is_empty() {
                    return Err(SessionError::Lost);
                }
                self.release(&partitions)?;
            }
            Polled::Idle => {}
        }
        Ok(true)
    }

    /// Goes on where the database says.
    fn begin(&mut self, partitions: &[TopicPartition]) -> Result<(), SessionError> {
        let stored = self
            .settings
            .runtime
            .block_on(self.store.cursors(partitions))?;
        let mut starts = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let (low, high) = self.consumer.watermarks(partition, WATERMARKS)?;
            let cursor = stored.get(partition).copied();
            let start = start(cursor, low, high).map_err(|gone| SessionError::OffsetGone {
                partition: partition.clone(),
                gone,
            })?;
            self.cursors.assign(partition.clone(), cursor, start);
            starts.push((partition.clone(), start));
        }
        self.consumer.accept_assignment(&starts)?;
        self.up();
        tracing::info!(partitions = partitions.len(), "partitions assigned");
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), SessionError> {
        self.cursors.release(partitions);
        self.consumer.release(partitions)?;
        tracing::info!(partitions = partitions.len(), "partitions released");
        Ok(())
    }

    /// Writes what is held.
    fn write(&mut self) -> Result<(), SessionError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let deltas = std::mem::take(&mut self.batch.deltas);
        let tables = expand(&self.settings.windows, deltas);
        let moves = self.cursors.moves();
        let written =
            self.settings
                .runtime
                .block_on(self.store.write(&self.batch, &tables, &moves))?;
        self.cursors.written(&moves);
        let mut batch = std::mem::take(&mut self.batch);
        let duration = began.elapsed();
        self.last_write = duration;
        histogram!(names::SINK_BATCH_DURATION).record(duration);
        for (table, rows) in &written {
            counter!(names::SINK_ROWS, "table" => table.clone()).increment(*rows as u64);
        }
        batch.delays.arrived(names::END_TO_END_DELAY);
        tracing::debug!(
            records = batch.records,
            ?duration,
            ?written,
            "batch written"
        );
        let next: Vec<_> = moves.into_iter().map(|m| (m.partition, m.to)).collect();
        if let Err(error) = self.consumer.commit_hint(&next) {
            tracing::debug!(%error, "Kafka was not told the offsets");
        }
        self.up();
        Ok(())
    }
}
