//! From joining the group until something ends it.

use std::time::{Duration, Instant};

use platform::{
    http::health::ComponentHealth,
    kafka::{
        client::KafkaClientConfig,
        consumer::{ConsumerSettings, PartitionConsumer, Polled, TopicPartition},
        refusals::{RefusalLimit, Refusals},
    },
    lifecycle::Shutdown,
};
use rdkafka::Message;
use schemas::{Topics, Window};
use tokio::runtime::Handle;

use crate::{
    batch::{Batch, Limits},
    cursors::{CursorMove, Cursors, start},
    decode::Decoder,
    fault::SessionError,
    letters::Letters,
    store::{Kept, Store, StoreError},
    writer::{Way, Writer},
};

/// How long the brokers may take to tell where a log begins and ends.
const WATERMARKS: Duration = Duration::from_secs(10);
/// How long a full batch waits for the one that is written before reading is paused, for which
/// what was fetched ahead is given up.
const LULL: Duration = Duration::from_secs(2);
/// How long a database in trouble may hold up a rebalance or the end.
const REBALANCE: Duration = Duration::from_secs(5);
/// How long the group may take to give this instance partitions, before it counts as one
/// that stands by.
const STANDBY: Duration = Duration::from_secs(15);

/// What stays the same from session to session.
pub(crate) struct Settings {
    pub(crate) runtime: Handle,
    pub(crate) client: KafkaClientConfig,
    pub(crate) group: String,
    pub(crate) topics: Topics,
    pub(crate) windows: Vec<Window>,
    pub(crate) refusal_limit: RefusalLimit,
    pub(crate) decoder: Decoder,
    pub(crate) health: ComponentHealth,
}

/// What one session holds.
pub(crate) struct Session<'a> {
    settings: &'a Settings,
    limits: Limits,
    store: Store,
    writer: Writer,
    consumer: PartitionConsumer,
    cursors: Cursors,
    /// What is read while the one before is written.
    batch: Batch,
    paused: bool,
    /// Until it was told that this instance works.
    unproven_since: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Joins the group. `shutdown` ends the patience with the database, too.
    pub(crate) fn join(
        settings: &'a Settings,
        limits: Limits,
        store: Store,
        shutdown: &Shutdown,
    ) -> Result<Self, SessionError> {
        let topics = &settings.topics;
        let names = [topics.admitted(), topics.dead_letters()];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let consumer = PartitionConsumer::new(
            &settings.client,
            &ConsumerSettings::new(&settings.group),
            &names,
        )?;
        let (client, group) = (settings.client.clone(), &settings.group);
        let way = Way {
            store: store.clone(),
            decoder: settings.decoder.clone(),
            kept: Kept::default(),
            windows: settings.windows.clone(),
            letters: Letters::new(client, group, settings.topics.clone()),
            refusals: Refusals::new(settings.refusal_limit),
            health: settings.health.clone(),
        };
        Ok(Self {
            settings,
            limits,
            store,
            writer: Writer::new(settings.runtime.clone(), way, shutdown),
            consumer,
            cursors: Cursors::default(),
            batch: Batch::default(),
            paused: false,
            unproven_since: Some(Instant::now()),
        })
    }

    /// Reads and writes until asked to end; what is held then is written. After an error it
    /// is forgotten, to be read again.
    pub(crate) fn run(mut self, shutdown: &Shutdown) -> Result<(), SessionError> {
        while !shutdown.is_triggered() {
            let wait = self.limits.wait(&self.batch, self.writer.is_busy());
            if let Err(error) = self.step(wait) {
                if let SessionError::Registry(_) = error {
                    // What came before is known, and the next session is spared of it.
                    self.drain()?;
                }
                return Err(error);
            }
            self.write_on()?;
            self.prove_standby();
        }
        self.drain()
    }

    /// Writes what is due, unless a batch is still being written. With nothing to be read into,
    /// it waits for that one, and pauses reading if that takes its time: the database may be
    /// away for long, and the group must hear of this member meanwhile.
    fn write_on(&mut self) -> Result<(), SessionError> {
        let is_full = self.limits.is_full(&self.batch);
        let wait = if is_full && !self.paused {
            LULL
        } else {
            Duration::ZERO
        };
        if let Some(outcome) = self.writer.outcome(wait) {
            self.written(outcome)?;
        }
        if self.writer.is_busy() {
            if is_full && !self.paused {
                self.consumer.pause(&self.cursors.partitions())?;
                self.paused = true;
            }
        } else if self.limits.is_due(&self.batch) {
            self.write();
        }
        Ok(())
    }

    /// Sends what is held on its way.
    fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.writer.start(batch, self.cursors.moves());
    }

    /// A batch is in the database, or never will be.
    fn written(
        &mut self,
        outcome: Result<Vec<CursorMove>, StoreError>,
    ) -> Result<(), SessionError> {
        let moves = outcome?;
        self.cursors.written(&moves);
        self.unproven_since = None;
        let next: Vec<_> = moves.into_iter().map(|m| (m.partition, m.to)).collect();
        if let Err(error) = self.consumer.commit_hint(&next) {
            tracing::debug!(%error, "Kafka was not told the offsets");
        }
        if std::mem::take(&mut self.paused) {
            self.consumer.resume(&self.cursors.partitions())?;
        }
        Ok(())
    }

    /// Writes all that is held, or gives up.
    fn drain(&mut self) -> Result<(), SessionError> {
        if let Some(outcome) = self.writer.last_outcome(REBALANCE) {
            self.written(outcome)?;
        }
        if !self.batch.is_empty() {
            self.write();
            if let Some(outcome) = self.writer.last_outcome(REBALANCE) {
                self.written(outcome)?;
            }
        }
        Ok(())
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

    /// Polls once.
    fn step(&mut self, wait: Duration) -> Result<(), SessionError> {
        match self.consumer.poll(wait)? {
            Polled::Record(record) => {
                let partition = TopicPartition::new(record.topic(), record.partition());
                // Decoded first: a record that cannot be decoded now is not read yet.
                let item = self.settings.decoder.decode(&record)?;
                if self.cursors.read(&partition, record.offset()) {
                    let bytes = record.key_len() + record.payload_len();
                    self.batch.add(item, bytes);
                }
            }
            Polled::Assigned(partitions) => self.begin(&partitions)?,
            Polled::Revoked(partitions) => {
                self.drain()?;
                self.release(&partitions)?;
            }
            Polled::Lost(partitions) => {
                // Some of what is held may be another's now, and it is not told apart.
                if !self.batch.is_empty() || self.writer.is_busy() {
                    return Err(SessionError::Lost);
                }
                self.release(&partitions)?;
            }
            Polled::Idle => {}
        }
        Ok(())
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
        if self.paused {
            self.consumer.pause(partitions)?;
        }
        // Who is writing knows better.
        if !self.writer.is_busy() {
            self.up();
        }
        tracing::info!(partitions = partitions.len(), "partitions assigned");
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), SessionError> {
        self.cursors.release(partitions);
        self.consumer.release(partitions)?;
        tracing::info!(partitions = partitions.len(), "partitions released");
        Ok(())
    }
}
