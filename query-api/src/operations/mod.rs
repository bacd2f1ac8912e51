//! Calls for operators: administrators of an organization, and of it alone.

pub(crate) mod dead_letters;
pub(crate) mod jobs;
pub(crate) mod performance;
pub(crate) mod stats;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use platform::{
    auth::{Identity, may_administer},
    http::{health::Health, problem::Problem},
    lifecycle::Shutdown,
    rate_limit::Class,
    telemetry::{metrics, performance::Performance},
};

use self::dead_letters::{Replayer, replay::Replays};
use crate::service::AppState;

/// What is known of this process.
pub(crate) struct Operations {
    performance: Performance,
    health: Health,
    instance: String,
    replays: Replays,
}

impl Operations {
    /// Begins to take samples of the process's metrics, until `shutdown`. To be called in a
    /// runtime.
    ///
    /// # Errors
    /// When the metrics recorder is not ours.
    pub(crate) fn start(
        instance: &str,
        replayer: Option<Arc<dyn Replayer>>,
        health: &Health,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let performance = Performance::default();
        tokio::spawn(performance.clone().keep(metrics::install()?, shutdown));
        Ok(Self {
            performance,
            health: health.clone(),
            instance: instance.to_owned(),
            replays: Replays::new(replayer),
        })
    }
}

/// The routes.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route(
            dead_letters::list::PATH,
            get(dead_letters::list::dead_letters),
        )
        .route(
            dead_letters::replay::PATH,
            post(dead_letters::replay::replay),
        )
        .route(jobs::PATH, get(jobs::jobs))
        .route(performance::PATH, get(performance::performance))
        .route(stats::PATH, get(stats::stats))
}

/// Lets administrators pass, and counts the call.
///
/// # Errors
/// 403 `role_not_allowed`; 429 `rate_limited`.
async fn admit(state: &AppState, identity: &Identity) -> Result<(), Problem> {
    may_administer(identity)?;
    state.limiter.admit(identity, Class::Read, 1).await
}
