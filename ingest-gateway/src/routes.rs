//! All routes.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{post, put},
};

use crate::{gateway::GatewayState, handlers, refusal::MAX_EVENT_BYTES};

/// Largest body with many events.
pub(crate) const MAX_BATCH_BYTES: usize = 10 << 20;

/// The routes and the limits of their bodies.
pub(crate) fn routes() -> Router<GatewayState> {
    let single = Router::new()
        .route("/api/metrics/commands", post(handlers::post_command))
        .route("/api/metrics/agents", post(handlers::post_agent))
        .route("/api/metrics/productivity", post(handlers::post_metric))
        .route("/api/metrics/sessions/start", post(handlers::start_session))
        .route(
            "/api/metrics/sessions/{session_id}",
            put(handlers::update_session),
        )
        .layer(DefaultBodyLimit::max(MAX_EVENT_BYTES));
    let many = Router::new()
        .route("/api/metrics/batch", post(handlers::post_batch))
        // One CloudEvent alone is limited where its body is read.
        .route("/api/metrics/events", post(handlers::post_cloud_events))
        .layer(DefaultBodyLimit::max(MAX_BATCH_BYTES));
    single.merge(many)
}
