//! All routes.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post, put},
};
use platform::http::{body::Limits, budget::Budget, overload};

use crate::{gateway::GatewayState, handlers, receipts, refusal::MAX_EVENT_BYTES};

/// Largest body with many events.
pub(crate) const MAX_BATCH_BYTES: usize = 10 << 20;

/// The routes and the limits of their bodies. A body may take `timeout` to arrive; all of
/// them, and what is made of them, have to fit the `budget`.
pub(crate) fn routes(timeout: Duration, budget: &Arc<Budget>) -> Router<GatewayState> {
    let at_most = |bytes| Limits { bytes, timeout }.layer();
    let single = Router::new()
        .route("/api/metrics/commands", post(handlers::post_command))
        .route("/api/metrics/agents", post(handlers::post_agent))
        .route("/api/metrics/productivity", post(handlers::post_metric))
        .route("/api/metrics/sessions/start", post(handlers::start_session))
        .route(
            "/api/metrics/sessions/{session_id}",
            put(handlers::update_session),
        )
        .layer(at_most(MAX_EVENT_BYTES));
    let many = Router::new()
        .route("/api/metrics/batch", post(handlers::post_batch))
        // One CloudEvent alone is limited where its body is read.
        .route("/api/metrics/events", post(handlers::post_cloud_events))
        .layer(at_most(MAX_BATCH_BYTES));
    let where_it_is = Router::new().route(
        "/api/metrics/events/{event_id}",
        get(receipts::events::get_event),
    );
    // Before a token or a body is looked at.
    let limit = from_fn_with_state(Arc::clone(budget), overload::limit);
    single.merge(many).merge(where_it_is).layer(limit)
}
