//! `GET /api/metrics/health`: open to everyone, and truthful.

use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{
    database::TenantDb,
    http::health::{CheckDetail, Health, HealthStatus},
};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/health";

/// Has the database asked whenever someone asks for the health. The register
/// bounds how long that may take.
pub(crate) fn watch(health: &Health, database: &TenantDb) {
    let database = database.clone();
    health.check("database", move || {
        let database = database.clone();
        async move {
            let answer = database.ping().await;
            answer
                .map(|()| CheckDetail::none())
                .map_err(|error| error.to_string())
        }
    });
}

/// The route.
pub(crate) fn router(health: &Health) -> Router {
    let health = health.clone();
    Router::new().route(PATH, get(async move || answer(&health).await))
}

async fn answer(health: &Health) -> Response {
    let report = health.report().await;
    let status = match report.status {
        HealthStatus::Ok => StatusCode::OK,
        HealthStatus::Degraded => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}
