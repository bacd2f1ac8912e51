//! One view, told to all who look at it: what changed is found and encoded once.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use platform::clock;
use schemas::Timestamp;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    horizon::oldest,
    messages::{Message, text},
    organization::Told,
    params::ViewQuery,
    position::{Cursor, Position},
    world::{Tenant, World},
};
use crate::aggregated::row::AggregatedRow;

/// The least time between two deltas, for each client that is told: 40,000 messages a second.
const PAUSE_OF_CLIENT: Duration = Duration::from_micros(25);
/// What it is at the least, however few they are, so that deltas of several transactions are told
/// as one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// A snapshot that is younger is told again.
const SNAPSHOT_KEPT: Duration = Duration::from_millis(25);

/// A snapshot or a delta, encoded.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Where a delta begins; `None` of a snapshot.
    pub(crate) since: Option<Position>,
    /// Up to where it tells.
    pub(crate) until: Position,
    /// The same as a cursor.
    pub(crate) cursor: Utf8Bytes,
    /// How often the view had let buckets go by then.
    pub(crate) shed: u64,
    /// How many rows it has.
    pub(crate) rows: usize,
    /// The message.
    pub(crate) text: Utf8Bytes,
    /// The log time of the oldest event that is new in it.
    pub(crate) oldest: Option<Timestamp>,
}

impl Frame {
    /// Whether it says anything to whom all was told up to a position.
    pub(crate) fn is_news(&self, told: Position) -> bool {
        self.rows > 0 || self.until.watermark != told.watermark
    }
}

/// A view that is looked at. Ends with the last who looks.
pub(crate) struct Feed {
    inner: Arc<Inner>,
    latest: watch::Sender<Arc<Frame>>,
    /// The last one, and when it was made.
    snapshot: Mutex<(Instant, Arc<Frame>)>,
    task: AbortHandle,
}

struct Inner {
    world: Arc<World>,
    tenant: Arc<Tenant>,
    query: ViewQuery,
    fingerprint: u64,
    /// Its number in its organization.
    view: u64,
}

impl Feed {
    /// Within a runtime.
    pub(super) fn open(
        world: &Arc<World>,
        organization_id: Uuid,
        query: ViewQuery,
        id: Uuid,
    ) -> Arc<Self> {
        let tenant = world.tenant(organization_id);
        let view = tenant.state().open(query.clone(), clock::now());
        let inner = Arc::new(Inner {
            world: world.clone(),
            tenant,
            query,
            fingerprint: id.as_u64_pair().0,
            view,
        });
        let first = Arc::new(inner.frame(None));
        let latest = watch::Sender::new(first.clone());
        let task = tokio::spawn(inner.clone().run(latest.clone()));
        Arc::new(Self {
            inner,
            latest,
            snapshot: Mutex::new((Instant::now(), first)),
            task: task.abort_handle(),
        })
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.inner.world
    }

    /// The last delta, told as it changes.
    pub(crate) fn latest(&self) -> watch::Receiver<Arc<Frame>> {
        self.latest.subscribe()
    }

    /// All rows. Those who ask at the same moment, as when an instance was started again,
    /// share one.
    pub(crate) fn snapshot(&self) -> Arc<Frame> {
        let mut kept = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.elapsed() >= SNAPSHOT_KEPT {
            *kept = (Instant::now(), Arc::new(self.inner.frame(None)));
        }
        kept.1.clone()
    }

    /// What changed since.
    pub(crate) fn since(&self, position: Position) -> Arc<Frame> {
        Arc::new(self.inner.frame(Some(position)))
    }

    /// The last state there is.
    pub(crate) fn position(&self) -> Position {
        let watermark = *self.inner.world.watermark().borrow();
        Position {
            seq: self.inner.tenant.state().seq(),
            watermark,
        }
    }

    /// The cursor that says that all was told up to a position.
    pub(crate) fn cursor(&self, position: Position) -> String {
        self.inner.cursor(position)
    }

    /// The cursor's identity, without its position.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.inner.fingerprint
    }

    /// A sign of life to whom everything was told up to `position`.
    pub(crate) fn ping(&self, position: Position) -> Message {
        let query = &self.inner.query;
        Message::Ping {
            cursor: self.cursor(position),
            from: oldest(query.window(), query.buckets(), clock::now()).to_string(),
            watermark: text(position.watermark),
        }
    }
}

/// After a delta that was told to so many clients: each message costs, and few clients
/// can have theirs at once.
fn pause(clients: usize) -> Duration {
    let clients = u32::try_from(clients).unwrap_or(u32::MAX);
    PAUSE_OF_CLIENT.saturating_mul(clients).max(SHORTEST_PAUSE)
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
        self.inner.tenant.state().close(self.inner.view);
    }
}

impl Inner {
    /// Tells changes as they come, with a [`pause`] after each.
    async fn run(self: Arc<Self>, latest: watch::Sender<Arc<Frame>>) {
        let mut changed = self.tenant.changed.subscribe();
        let mut watermark = self.world.watermark();
        loop {
            let told = latest.borrow().until;
            let mut frame = self.frame(Some(told));
            if frame.is_news(told) {
                frame.oldest = self.tenant.state().take_oldest_untold(self.view);
                latest.send_replace(Arc::new(frame));
                sleep(pause(latest.receiver_count())).await;
            }
            // Neither sender ends before this task does.
            let _ = tokio::select! {
                changed = changed.changed() => changed,
                changed = watermark.changed() => changed,
            };
        }
    }

    fn cursor(&self, position: Position) -> String {
        let cursor = Cursor {
            generation: self.world.generation,
            fingerprint: self.fingerprint,
            position,
        };
        cursor.encode()
    }

    fn frame(&self, since: Option<Position>) -> Frame {
        // Before the rows: what it covers is in them.
        let watermark = *self.world.watermark().borrow();
        let state = self.tenant.state();
        let told = state.tell(self.view, since, clock::now(), watermark);
        drop(state);
        // The view is open as long as this is.
        let Told {
            until,
            from,
            shed,
            rows,
        } = told.expect("the view is open");
        let cursor = self.cursor(until);
        let count = rows.len();
        let rows = rows
            .into_iter()
            .map(|group| AggregatedRow::of(group, None, self.query.rows(), watermark))
            .collect();
        let message = match since {
            None => Message::Snapshot {
                cursor: cursor.clone(),
                window: self.query.window().as_str(),
                group_by: self.query.group_by().as_str(),
                from: from.to_string(),
                watermark: text(watermark),
                rows,
            },
            Some(_) => Message::Delta {
                cursor: cursor.clone(),
                from: from.to_string(),
                watermark: text(watermark),
                rows,
            },
        };
        Frame {
            since,
            until,
            cursor: cursor.into(),
            shed,
            rows: count,
            text: message.json().into(),
            oldest: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_are_told_at_once_and_many_less_often() {
        let of = |clients| pause(clients).as_micros();
        assert_eq!(
            [0, 1, 200, 1_000, 4_000].map(of),
            [5_000, 5_000, 5_000, 25_000, 100_000]
        );
    }
}
