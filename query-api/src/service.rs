//! The service: its connections and its routes.

use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, extract::FromRef};
use platform::{
    auth::Verifier,
    database::{self, DatabaseError, DatabaseUrl, Role, TenantDb},
    http::health::Health,
    lifecycle::Shutdown,
    rate_limit::RateLimiter,
};
use schemas::Window;
use secrecy::ExposeSecret;
use sqlx::PgPool;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tracing::warn;

use crate::{
    QueryConfig, aggregated, anomalies,
    cache::Cache,
    dashboard, events, export, failure, health,
    live::{self, Live},
    operations::{self, Operations, dead_letters::Replayer},
    page,
};

/// How long a database may be away while the service starts.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to connect.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// What the handlers share. Every request has it cloned, layer by layer.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Parts>);

/// What there is of it.
pub(crate) struct Parts {
    pub(crate) database: TenantDb,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) cache: Arc<Cache>,
    /// The windows that rollups are kept of, shortest first.
    pub(crate) windows: Arc<[Window]>,
    pub(crate) slow_query: Duration,
    pub(crate) live: Live,
    pub(crate) operations: Arc<Operations>,
    /// Room for exports.
    pub(crate) exports: Arc<Semaphore>,
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for AppState {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl FromRef<AppState> for Arc<Verifier> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.verifier)
    }
}

/// Connects to the database and answers with the routes, all with their full
/// paths and without layers or a fallback: those the caller adds. The database
/// becomes a part of `health`, and so do live views, which are served once Kafka was read:
/// without it, all else is answered. Live streams end with `shutdown`.
///
/// `replayer` sends dead letters again; without one, that is not offered.
///
/// A database that is away is waited for, half a minute at most and not beyond
/// `shutdown`.
///
/// # Errors
/// When the database cannot be reached or refuses; and when its role could read
/// past the isolation of organizations, since then nothing may be served.
pub async fn start(
    config: &QueryConfig,
    replayer: Option<Arc<dyn Replayer>>,
    health: &Health,
    shutdown: Shutdown,
) -> anyhow::Result<Router> {
    let url = DatabaseUrl::parse(config.database.url.expose_secret())?;
    let database = tokio::select! {
        connected = connect(config, &url) => connected.context("the query API's database")?,
        () = shutdown.triggered() => anyhow::bail!("ended before the database was reached"),
    };
    database.verify_role().await?;
    health::watch(health, &database);
    let verifier = Arc::new(Verifier::start(&config.jwt)?);
    verifier.watch(health);
    let limiter = RateLimiter::start(&config.rate_limits)?;
    let cache = Cache::start(&config.cache)?;
    // Away from the pool, whose connections are all for queries.
    let changes = pool(config, &url, 1, "flowmeter-query-api-changes").await?;
    cache.listen(changes, shutdown.clone());
    let live = Live::new(&config.live, shutdown.clone());
    live.follow(&config.live, health.component("live"))?;
    let operations = Operations::start(&config.instance_id, replayer, health, shutdown)?;
    let state = Parts {
        database,
        verifier,
        limiter: Arc::new(limiter),
        cache: Arc::new(cache),
        windows: config.windows.as_slice().into(),
        slow_query: config.slow_query,
        live,
        operations: Arc::new(operations),
        exports: export::room(config.max_exports),
    };
    Ok(router(state.into(), health))
}

async fn connect(config: &QueryConfig, url: &DatabaseUrl) -> Result<TenantDb, DatabaseError> {
    let started = Instant::now();
    loop {
        let size = config.database.pool_size;
        match pool(config, url, size, "flowmeter-query-api").await {
            Ok(pool) => return Ok(TenantDb::new(pool)),
            Err(error) if failure::is_away(&error) && started.elapsed() < START_PATIENCE => {
                warn!(%error, "the database is away; trying again");
                sleep(RECONNECT_AFTER).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn pool(
    config: &QueryConfig,
    url: &DatabaseUrl,
    size: u32,
    name: &str,
) -> Result<PgPool, DatabaseError> {
    let password = config.database.api_password.as_ref();
    database::connect(url, size, name, Role::Api, password).await
}

/// The routes.
pub(crate) fn router(state: AppState, health: &Health) -> Router {
    aggregated::router()
        .merge(live::router())
        .merge(operations::router())
        .merge(events::router())
        .merge(export::router())
        .merge(dashboard::router())
        .merge(anomalies::router())
        .with_state(state)
        .merge(health::router(health))
        .merge(page::router())
}
