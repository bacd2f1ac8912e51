//! Waiting until events are stored: one task asks for all who wait.
//!
//! Every 12 ms at most (100 ms while nothing changes, and never more than half of the time)
//! it asks the database once per organization, with the events' times as bounds, so that a
//! look-up touches the chunks that can hold them. A retried event may be stored under the
//! time of its first copy: every half second some are looked for without bounds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use platform::{
    database::{DatabaseError, TenantDb},
    telemetry::names,
};
use schemas::{EventKind, Topics};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use uuid::Uuid;

use super::{
    LOOKUP_BOUND,
    book::{Place, Receipt},
    fate::{Fate, Sight, sight},
    lookup::{self, Letter, Row},
    storage::Storage,
};

/// The most events waited for at once; more are answered without waiting.
const MOST_WAITING: usize = 20_000;
const SHORTEST_PAUSE: Duration = Duration::from_millis(12);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// While the database is away.
const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// Between two looks without bounds.
const ANYWHERE_PAUSE: Duration = Duration::from_millis(500);
/// The most events of an organization in one look without bounds, of some microseconds for
/// each event and chunk.
const MOST_ANYWHERE: usize = 256;
/// How long a dead letter may follow after another record of the event was seen.
const COPY_GRACE: Duration = Duration::from_millis(300);

/// The way to the task that watches.
#[derive(Debug)]
pub(crate) struct Watch {
    arrivals: mpsc::UnboundedSender<Waiter>,
    slots: Arc<Semaphore>,
}

/// One event that is waited for.
#[derive(Debug)]
struct Waiter {
    receipt: Receipt,
    answer: oneshot::Sender<Fate>,
    since: Instant,
    /// Another record of the event, and when it was seen.
    copy: Option<(Place, Instant)>,
    /// When it was last looked for without bounds.
    anywhere: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Watch {
    /// Starts the task; it ends with this value.
    pub(crate) fn start(storage: Storage, topics: Topics) -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let task = Task {
            storage,
            topics,
            waiting: HashMap::new(),
            anywhere: Instant::now(),
            away: false,
        };
        tokio::spawn(task.run(arriving));
        Self {
            arrivals,
            slots: Arc::new(Semaphore::new(MOST_WAITING)),
        }
    }

    /// Waits until each event came to an end, or `bound`, and tells what is known then, in
    /// the order of the receipts. `None`: too many wait already.
    pub(crate) async fn fates(&self, receipts: &[Receipt], bound: Instant) -> Option<Vec<Fate>> {
        let slots = u32::try_from(receipts.len()).unwrap_or(u32::MAX);
        let mut slots = Arc::clone(&self.slots).try_acquire_many_owned(slots).ok()?;
        let now = Instant::now();
        let mut answers = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let (answer, answered) = oneshot::channel();
            answers.push(answered);
            let Some(slot) = slots.split(1) else { break };
            // The task lives as long as this value.
            let _ = self.arrivals.send(Waiter {
                receipt: *receipt,
                answer,
                since: now,
                copy: None,
                anywhere: now,
                _slot: slot,
            });
        }
        let mut fates = Vec::with_capacity(answers.len());
        for answer in answers {
            // After the bound those that are there already are still taken.
            let fate = timeout_at(bound, answer).await;
            fates.push(fate.ok().and_then(Result::ok).unwrap_or_default());
        }
        Some(fates)
    }
}

struct Task {
    storage: Storage,
    topics: Topics,
    waiting: HashMap<Uuid, Vec<Waiter>>,
    /// When some were last looked for without bounds.
    anywhere: Instant,
    /// Whether the last look failed, so that a failure is logged once.
    away: bool,
}

impl Task {
    async fn run(mut self, mut arriving: mpsc::UnboundedReceiver<Waiter>) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            if self.waiting.is_empty() {
                let Some(first) = arriving.recv().await else {
                    return;
                };
                self.add(first);
                pause = SHORTEST_PAUSE;
            }
            tokio::select! {
                () = sleep(pause) => {}
                Some(next) = arriving.recv(), if pause > SHORTEST_PAUSE => {
                    self.add(next);
                    pause = SHORTEST_PAUSE;
                    sleep(pause).await;
                }
            }
            while let Ok(next) = arriving.try_recv() {
                self.add(next);
            }
            self.forget_the_gone();
            let began = Instant::now();
            let changed = self.round().await;
            let longer = if changed {
                SHORTEST_PAUSE
            } else {
                (pause * 3 / 2).min(LONGEST_PAUSE)
            };
            pause = longer.max(began.elapsed());
            if self.away {
                pause = AWAY_PAUSE;
            }
        }
    }

    fn add(&mut self, waiter: Waiter) {
        let organization = waiter.receipt.organization_id;
        self.waiting.entry(organization).or_default().push(waiter);
    }

    /// Those whose request has been answered.
    fn forget_the_gone(&mut self) {
        self.waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.answer.is_closed());
            !waiters.is_empty()
        });
    }

    /// Looks once for every organization. Whether anything came to an end.
    async fn round(&mut self) -> bool {
        let Some(database) = self.storage.database() else {
            return false;
        };
        let anywhere = self.anywhere.elapsed() >= ANYWHERE_PAUSE;
        if anywhere {
            self.anywhere = Instant::now();
        }
        let mut changed = false;
        for (organization, waiters) in &mut self.waiting {
            let looking = look(&database, &self.topics, *organization, waiters, anywhere);
            let failure = match timeout(LOOKUP_BOUND, looking).await {
                Ok(Ok(found)) => {
                    changed |= settle(waiters, &found);
                    self.away = false;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            if !self.away {
                tracing::warn!(
                    error = failure,
                    "the database cannot be asked whether events are stored"
                );
            }
            // The others would fare alike, each after its own timeout.
            self.away = true;
            break;
        }
        changed
    }
}

/// What a look found.
#[derive(Debug, Default)]
struct Found {
    rows: HashMap<(EventKind, Uuid), Vec<Row>>,
    letters: HashMap<(EventKind, Place), Letter>,
}

async fn look(
    database: &TenantDb,
    topics: &Topics,
    organization: Uuid,
    waiters: &mut [Waiter],
    anywhere: bool,
) -> Result<Found, DatabaseError> {
    let mut transaction = database.begin(organization).await?;
    let mut found = Found::default();
    let mut rows = Vec::new();
    for kind in EventKind::ALL {
        let of_kind: Vec<_> = waiters
            .iter()
            .map(|w| &w.receipt)
            .filter(|r| r.kind == kind)
            .collect();
        for receipts in of_kind.chunks(lookup::CHUNK) {
            let times = || receipts.iter().map(|r| r.timestamp);
            if let (Some(from), Some(to)) = (times().min(), times().max()) {
                let ids: Vec<_> = receipts.iter().map(|r| r.event_id).collect();
                rows.extend(lookup::rows_between(&mut transaction, kind, &ids, (from, to)).await?);
            }
            for letter in lookup::letters_at(&mut transaction, topics, receipts).await? {
                found.letters.insert((letter.kind, letter.place), letter);
            }
        }
    }
    if anywhere {
        let ids = due_anywhere(waiters);
        if !ids.is_empty() {
            lookup::plan_once(&mut transaction).await?;
        }
        for (kind, ids) in ids {
            rows.extend(lookup::rows_anywhere(&mut transaction, kind, &ids).await?);
        }
    }
    transaction.finish();
    for row in rows {
        found
            .rows
            .entry((row.kind, row.event_id))
            .or_default()
            .push(row);
    }
    Ok(found)
}

/// The events that were looked for without bounds longest ago, and not just now.
fn due_anywhere(waiters: &mut [Waiter]) -> HashMap<EventKind, Vec<Uuid>> {
    let now = Instant::now();
    let mut due: Vec<_> = waiters
        .iter_mut()
        .filter(|waiter| now - waiter.anywhere >= ANYWHERE_PAUSE)
        .collect();
    due.sort_unstable_by_key(|waiter| waiter.anywhere);
    let mut ids: HashMap<_, Vec<_>> = HashMap::new();
    for waiter in due.into_iter().take(MOST_ANYWHERE) {
        waiter.anywhere = now;
        ids.entry(waiter.receipt.kind)
            .or_default()
            .push(waiter.receipt.event_id);
    }
    ids
}

/// Answers those who need wait no longer. Whether there was anyone.
fn settle(waiters: &mut Vec<Waiter>, found: &Found) -> bool {
    let before = waiters.len();
    let mut index = 0;
    while index < waiters.len() {
        match end(&mut waiters[index], found) {
            Some(fate) => {
                let waiter = waiters.swap_remove(index);
                if matches!(fate, Fate::Stored { .. }) {
                    metrics::histogram!(names::WAIT_DURATION)
                        .record(waiter.since.elapsed().as_secs_f64());
                }
                // Whoever has gone needs no answer.
                let _ = waiter.answer.send(fate);
            }
            None => index += 1,
        }
    }
    waiters.len() < before
}

fn end(waiter: &mut Waiter, found: &Found) -> Option<Fate> {
    let receipt = &waiter.receipt;
    let rows = found.rows.get(&(receipt.kind, receipt.event_id));
    let letter = found.letters.get(&(receipt.kind, receipt.place));
    match sight(receipt, rows.into_iter().flatten(), letter) {
        Sight::Settled(fate) => return Some(fate),
        Sight::Copy(place) => {
            waiter.copy.get_or_insert((place, Instant::now()));
        }
        Sight::Nothing => {}
    }
    let (place, seen) = waiter.copy?;
    (seen.elapsed() >= COPY_GRACE).then_some(Fate::Stored {
        duplicate_of: Some(place),
    })
}
