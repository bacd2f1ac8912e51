//! All organizations, as one life of the memory holds them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use metrics::gauge;
use platform::{clock, lifecycle::Shutdown, telemetry::names};
use schemas::{Timestamp, Watermarks};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    feed::Feed,
    horizon::oldest,
    organization::{Delta, Organization},
    params::ViewQuery,
    watermarks::WatermarkTable,
};

/// What follows from the log since the memory was last empty.
pub(crate) struct World {
    /// Tells this life of the memory from all others.
    pub(crate) generation: u64,
    max_rows: usize,
    tenants: RwLock<HashMap<Uuid, Arc<Tenant>>>,
    feeds: Mutex<HashMap<Uuid, Weak<Feed>>>,
    watermarks: Mutex<WatermarkTable>,
    watermark: watch::Sender<Option<Timestamp>>,
    /// Buckets that start at or after are whole; `None` until the log was read to its end.
    whole_from: Mutex<Option<Timestamp>>,
    /// How many rollups are held in all.
    rows: AtomicUsize,
    crowded: AtomicBool,
    /// Triggered when the memory had to be emptied.
    pub(crate) ended: Shutdown,
}

/// One organization, and whether it changed.
pub(crate) struct Tenant {
    state: Mutex<Organization>,
    pub(crate) changed: watch::Sender<()>,
}

impl Tenant {
    pub(crate) fn state(&self) -> MutexGuard<'_, Organization> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// An empty one, which will hold about `max_rows` rollups at most.
    pub(crate) fn new(max_rows: usize) -> Self {
        Self {
            generation: Uuid::new_v4().as_u64_pair().0,
            max_rows,
            tenants: RwLock::default(),
            feeds: Mutex::default(),
            watermarks: Mutex::default(),
            watermark: watch::Sender::new(None),
            whole_from: Mutex::default(),
            rows: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            ended: Shutdown::new(),
        }
    }

    /// Adds deltas of one organization.
    pub(crate) fn add(&self, organization_id: Uuid, deltas: Vec<Delta>, log_time: Timestamp) {
        let tenant = self.tenant(organization_id);
        let mut state = tenant.state();
        let before = state.rows();
        state.add(deltas, log_time);
        let added = state.rows() - before;
        drop(state);
        tenant.changed.send_replace(());
        let rows = self.rows.fetch_add(added, Ordering::Relaxed) + added;
        if rows > self.max_rows {
            self.shed();
        }
    }

    /// Takes what a partition of the log says of the sources of events.
    pub(crate) fn add_watermarks(&self, partition: i32, told: Watermarks) {
        let watermark = locked(&self.watermarks).add(partition, told);
        self.watermark.send_if_modified(|known| {
            let moved = watermark > *known;
            if moved {
                *known = watermark;
            }
            moved
        });
    }

    /// The log was read to its end: buckets from here on are whole.
    pub(crate) fn is_whole_from(&self, from: Timestamp) {
        *locked(&self.whole_from) = Some(from);
    }

    /// Lets go of what has become too old.
    pub(crate) fn advance(&self, now: Timestamp) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let mut rows = 0;
        // Whoever holds a tenant is about to open a view or to add to it.
        tenants.retain(|_, tenant| {
            let mut state = tenant.state();
            state.advance(now);
            rows += state.rows();
            !state.is_empty() || Arc::strong_count(tenant) > 1
        });
        drop(tenants);
        self.rows.store(rows, Ordering::Relaxed);
        gauge!(names::LIVE_ROWS).set(rows as f64);
        if rows < self.max_rows / 2 {
            self.crowded.store(false, Ordering::Relaxed);
        }
    }

    /// Lets go of the oldest of the largest organizations, until there is some room again.
    fn shed(&self) {
        if !self.crowded.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                max_rows = self.max_rows,
                "live views let go of their oldest buckets: LIVE_MAX_ROWS is reached"
            );
        }
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        while self.rows.load(Ordering::Relaxed) > self.max_rows / 10 * 9 {
            let Some(largest) = tenants.values().max_by_key(|t| t.state().rows()) else {
                break;
            };
            let mut state = largest.state();
            let before = state.rows();
            state.shed();
            let freed = before - state.rows();
            drop(state);
            largest.changed.send_replace(());
            if freed == 0 {
                break;
            }
            self.rows.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    /// The watermark now; told as it changes.
    pub(crate) fn watermark(&self) -> watch::Receiver<Option<Timestamp>> {
        self.watermark.subscribe()
    }

    /// An organization. One that was not held numbers its changes from the clock on, higher
    /// than it did before it was forgotten: a cursor from then is of use all the same.
    pub(crate) fn tenant(&self, organization_id: Uuid) -> Arc<Tenant> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = tenants.get(&organization_id) {
            return tenant.clone();
        }
        drop(tenants);
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let now = clock::now();
            let seq = now.micros().unsigned_abs();
            Arc::new(Tenant {
                state: Mutex::new(Organization::new(seq, now)),
                changed: watch::Sender::new(()),
            })
        };
        tenants.entry(organization_id).or_insert_with(new).clone()
    }

    /// Whether every bucket of a view is whole.
    pub(crate) fn can_tell(&self, query: &ViewQuery, now: Timestamp) -> bool {
        let from = oldest(query.window(), query.buckets(), now);
        locked(&self.whole_from).is_some_and(|whole| whole <= from)
    }

    /// What all clients with the same view share.
    pub(crate) fn feed(self: &Arc<Self>, organization_id: Uuid, query: ViewQuery) -> Arc<Feed> {
        let id = query.id(organization_id);
        let mut feeds = locked(&self.feeds);
        if let Some(feed) = feeds.get(&id).and_then(Weak::upgrade) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Feed::open(self, organization_id, query, id);
        feeds.insert(id, Arc::downgrade(&feed));
        feed
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
