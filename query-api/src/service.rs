//! The service: its connections and its routes.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, extract::FromRef};
use platform::{
    auth::Verifier,
    database::{self, DatabaseError, DatabaseUrl, Role, TenantDb},
    http::health::Health,
    lifecycle::Shutdown,
    rate_limit::RateLimiter,
};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::{QueryConfig, aggregated, anomalies, dashboard, failure, health};

/// How long a database may be away while the service starts.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to connect.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) database: TenantDb,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) slow_query: Duration,
}

impl FromRef<AppState> for Arc<Verifier> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.verifier)
    }
}

/// Connects to the database and answers with the routes, all with their full
/// paths and without layers or a fallback: those the caller adds. The database
/// becomes a part of `health`.
///
/// A database that is away is waited for, half a minute at most and not beyond
/// `shutdown`.
///
/// # Errors
/// When the database cannot be reached or refuses; and when its role could read
/// past the isolation of organizations, since then nothing may be served.
pub async fn start(
    config: &QueryConfig,
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
    let state = AppState {
        database,
        verifier,
        limiter: Arc::new(limiter),
        slow_query: config.slow_query,
    };
    Ok(router(state, health))
}

async fn connect(config: &QueryConfig, url: &DatabaseUrl) -> Result<TenantDb, DatabaseError> {
    let started = Instant::now();
    loop {
        let pool = database::connect(
            url,
            config.database.pool_size,
            "flowmeter-query-api",
            Role::Api,
            config.database.api_password.as_ref(),
        )
        .await;
        match pool {
            Ok(pool) => return Ok(TenantDb::new(pool)),
            Err(error) if failure::is_away(&error) && started.elapsed() < START_PATIENCE => {
                warn!(%error, "the database is away; trying again");
                sleep(RECONNECT_AFTER).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The routes.
pub(crate) fn router(state: AppState, health: &Health) -> Router {
    aggregated::router()
        .merge(dashboard::router())
        .merge(anomalies::router())
        .with_state(state)
        .merge(health::router(health))
}
