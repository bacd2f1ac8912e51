//! Batches on their way to the database, one at a time, while the next is read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics::{counter, histogram};
use platform::{
    backoff::Backoff, http::health::ComponentHealth, kafka::refusals::Refusals,
    lifecycle::Shutdown, telemetry::names,
};
use schemas::Window;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use crate::{
    batch::Batch,
    cursors::CursorMove,
    decode::Decoder,
    expand::{RollupRow, expand},
    letters::Letters,
    store::{Kept, RefusedEvent, Store, StoreError, Trouble, Written},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is in the database now, or why it is not.
type Outcome = Result<Vec<CursorMove>, StoreError>;

/// Writes batches, away from the thread that reads. A database that is in [`Trouble`] is tried
/// again until it takes the batch, so to the reader it is a slow one.
pub(crate) struct Writer {
    runtime: Handle,
    way: Arc<Mutex<Way>>,
    shutdown: Shutdown,
    /// Says of the batch on its way that a failed attempt is the last.
    give_up: Shutdown,
    in_flight: Option<JoinHandle<Outcome>>,
}

/// What the way to the database needs.
pub(crate) struct Way {
    pub(crate) store: Store,
    pub(crate) decoder: Decoder,
    /// What it wrote last.
    pub(crate) kept: Kept,
    pub(crate) windows: Vec<Window>,
    pub(crate) letters: Letters,
    pub(crate) refusals: Refusals,
    pub(crate) health: ComponentHealth,
}

impl Writer {
    /// One with nothing to write. `shutdown` makes it give up.
    pub(crate) fn new(runtime: Handle, way: Way, shutdown: &Shutdown) -> Self {
        Self {
            runtime,
            way: Arc::new(Mutex::new(way)),
            shutdown: shutdown.clone(),
            give_up: shutdown.child(),
            in_flight: None,
        }
    }

    /// Whether a batch is on its way, or its outcome not asked for.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Sends a batch on its way; there must be no other.
    pub(crate) fn start(&mut self, batch: Batch, moves: Vec<CursorMove>) {
        self.give_up = self.shutdown.child();
        let (way, give_up) = (Arc::clone(&self.way), self.give_up.clone());
        let runtime = self.runtime.clone();
        // A write waits for the database and adds up by itself: no work for the runtime's own
        // threads.
        self.in_flight = Some(self.runtime.spawn_blocking(move || {
            let mut way = way.lock().unwrap_or_else(PoisonError::into_inner);
            way.write(batch, moves, &runtime, &give_up)
        }));
    }

    /// The outcome, if there is one within `wait`.
    pub(crate) fn outcome(&mut self, wait: Duration) -> Option<Outcome> {
        let in_flight = self.in_flight.as_mut()?;
        if !in_flight.is_finished() && wait.is_zero() {
            return None;
        }
        let ended = self
            .runtime
            .block_on(async { timeout(wait, in_flight).await });
        let ended = ended.ok()?;
        self.in_flight = None;
        Some(ended.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Ending),
        }))
    }

    /// The outcome of what is on its way: it is tried for `patience`, and then once more.
    pub(crate) fn last_outcome(&mut self, patience: Duration) -> Option<Outcome> {
        self.outcome(patience).or_else(|| {
            self.give_up.trigger();
            self.outcome(Duration::MAX)
        })
    }
}

/// Nothing is written any more once it is gone: its successor must find the cursors at rest.
impl Drop for Writer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.last_outcome(Duration::ZERO);
        }
    }
}

impl Way {
    fn write(
        &mut self,
        mut batch: Batch,
        moves: Vec<CursorMove>,
        runtime: &Handle,
        give_up: &Shutdown,
    ) -> Outcome {
        let tables = expand(&self.windows, std::mem::take(&mut batch.deltas));
        let health = self.health.clone();
        let mut outage = Outage::new(&health);
        loop {
            let began = Instant::now();
            let error = match self.attempt(&batch, &tables, &moves, runtime) {
                Ok(written) => {
                    outage.over();
                    tell(&mut batch, &written, began.elapsed());
                    health.up();
                    return Ok(moves);
                }
                Err(error) => error,
            };
            let Some(trouble) = error.trouble() else {
                return Err(error);
            };
            let pause = outage.pause(trouble, &error);
            if runtime.block_on(async { timeout(pause, give_up.triggered()).await.is_ok() }) {
                return Err(error);
            }
        }
    }

    fn attempt(
        &mut self,
        batch: &Batch,
        tables: &[(Window, Vec<RollupRow>)],
        moves: &[CursorMove],
        runtime: &Handle,
    ) -> Result<Written, StoreError> {
        let write = self.store.write(batch, tables, moves, &mut self.kept);
        match runtime.block_on(write) {
            Err(StoreError::Refused(_)) => self.attempt_sound(batch, moves, runtime),
            written => {
                let written = written?;
                let events = batch.event_records.iter();
                events.for_each(|_| self.refusals.take(false));
                Ok(written)
            }
        }
    }

    /// The same without what the database refuses.
    fn attempt_sound(
        &mut self,
        batch: &Batch,
        moves: &[CursorMove],
        runtime: &Handle,
    ) -> Result<Written, StoreError> {
        let events = self.decoder.again(&batch.event_records)?;
        // On a copy: an attempt that fails has refused nothing.
        let mut refusals = self.refusals.clone();
        let (windows, letters) = (&self.windows, &mut self.letters);
        let bury = |refused: &[RefusedEvent<'_>]| letters.send(refused);
        let write = self
            .store
            .write_sound(batch, &events, windows, moves, &mut refusals, bury);
        let written = runtime.block_on(write)?;
        self.refusals = refusals;
        self.letters.settled();
        Ok(written)
    }
}

fn tell(batch: &mut Batch, written: &Written, duration: Duration) {
    histogram!(names::SINK_BATCH_DURATION).record(duration);
    for (table, rows) in written {
        counter!(names::SINK_ROWS, "table" => table.clone()).increment(*rows as u64);
    }
    batch.delays.arrived(names::END_TO_END_DELAY);
    let records = batch.records;
    tracing::debug!(records, ?duration, ?written, "batch written");
}

/// How long the database has been in trouble, and what was said of it.
struct Outage<'a> {
    health: &'a ComponentHealth,
    since: Option<Instant>,
    told: Option<Trouble>,
    backoff: Backoff,
}

impl<'a> Outage<'a> {
    fn new(health: &'a ComponentHealth) -> Self {
        Self {
            health,
            since: None,
            told: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }

    /// Tells what is wrong, once, and how long to wait.
    fn pause(&mut self, trouble: Trouble, error: &StoreError) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        if trouble != Trouble::Contended && self.told != Some(trouble) {
            self.told = Some(trouble);
            self.health.down(trouble.reason());
            let reason = trouble.reason();
            tracing::error!(%error, reason, "nothing is stored, and nothing lost; trying again");
        }
        self.backoff.pause()
    }

    fn over(&self) {
        if let (Some(since), Some(_)) = (self.since, self.told) {
            let seconds = since.elapsed().as_secs();
            tracing::info!(seconds, "the database is written again");
        }
    }
}
