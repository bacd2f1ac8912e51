//! `GET /api/metrics/live` and `GET /api/metrics/real-time/{window}`: rows as they change, out
//! of memory.
//!
//! ```text
//! metrics.rollups ─ follower ─▶ World ─ organization, view ─ feed ─▶ stream ─▶ websocket, sse
//!                                 (what is held)          (once per view)  (per client)
//! ```
//!
//! Every instance reads the whole log of deltas and holds the newest buckets. A client is told
//! the whole new state of each row that changed since it was last told, so that nothing queues
//! up for a slow one, what is told twice does no harm, and a broken connection goes on from its
//! cursor (decision 24).

mod access;
mod backfill;
mod config;
mod description;
mod feed;
mod follower;
mod handler;
mod horizon;
mod matching;
mod messages;
mod organization;
mod params;
mod position;
mod real_time;
mod records;
mod slots;
mod sse;
mod stream;
mod view;
mod watermarks;
mod websocket;
mod world;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{Router, routing::get};
use platform::{
    http::{health::ComponentHealth, problem::Problem},
    lifecycle::Shutdown,
};
use schemas::Timestamp;

pub use self::config::LiveConfig;
#[cfg(test)]
pub(crate) use self::params::{NAMES as PARAMETERS, REAL_TIME_NAMES as REAL_TIME_PARAMETERS};
pub(crate) use self::{
    handler::{__path_live, PATH, live},
    real_time::{__path_real_time, PATH as REAL_TIME_PATH, real_time},
};
use self::{params::ViewQuery, slots::Slots, world::World};
use crate::service::AppState;

/// How long a client should wait while the log is read.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The routes.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route(PATH, get(live))
        .route(REAL_TIME_PATH, get(real_time))
}

/// What is held in memory, and who looks at it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Live {
    world: Arc<RwLock<Arc<World>>>,
    max_rows: usize,
    slots: Slots,
    shutdown: Shutdown,
}

impl Live {
    /// Nothing yet; streams end with `shutdown`.
    pub(crate) fn new(config: &LiveConfig, shutdown: Shutdown) -> Self {
        Self {
            world: Arc::new(RwLock::new(Arc::new(World::new(config.max_rows)))),
            max_rows: config.max_rows,
            slots: Slots::new(config.max_connections, config.max_organization_connections),
            shutdown,
        }
    }

    /// Starts to follow the log, until `shutdown`.
    ///
    /// # Errors
    /// When an address in the settings is none.
    pub(crate) fn follow(
        &self,
        config: &LiveConfig,
        health: ComponentHealth,
    ) -> anyhow::Result<()> {
        follower::start(self.clone(), config, health, self.shutdown.clone())
    }

    /// What is held now.
    pub(crate) fn world(&self) -> Arc<World> {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        world.clone()
    }

    /// Forgets everything: the log does not go on where it was read up to.
    pub(crate) fn forget(&self) {
        let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        let forgotten = std::mem::replace(&mut *world, Arc::new(World::new(self.max_rows)));
        forgotten.ended.trigger();
    }

    /// What is held, once it holds the whole of a view.
    ///
    /// # Errors
    /// 503 `live_warming`.
    pub(crate) fn world_for(
        &self,
        query: &ViewQuery,
        now: Timestamp,
    ) -> Result<Arc<World>, Problem> {
        let world = self.world();
        if world.can_tell(query, now) {
            return Ok(world);
        }
        Err(Problem::unavailable(
            "live_warming",
            "The log is being read, which live views are made of; try again soon, or ask /aggregated.",
            RETRY_AFTER,
        ))
    }
}
