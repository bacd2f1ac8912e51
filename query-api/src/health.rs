//! `GET /api/metrics/health`: open to everyone, and truthful.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{
    database::TenantDb,
    http::health::{CheckDetail, Health, HealthStatus},
};

use crate::openapi::HealthReport;

/// The path.
pub(crate) const PATH: &str = "/api/metrics/health";
/// Whether the process runs.
pub(crate) const LIVE: &str = "/api/metrics/health/live";
/// The same as [`PATH`].
pub(crate) const READY: &str = "/api/metrics/health/ready";

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
pub(crate) fn router(register: &Health) -> Router {
    Router::new()
        .route(PATH, get(health))
        .route(READY, get(ready))
        .route(LIVE, get(live))
        .with_state(register.clone())
}

/// Whether the service works
///
/// Open to everyone; says nothing of the inside.
#[utoipa::path(
    get,
    path = PATH,
    tag = "operations",
    responses(
        (status = 200, description = "All parts work.", body = HealthReport),
        (status = 503, description = "Some part does not work, or not yet.", body = HealthReport),
    )
)]
pub(crate) async fn health(State(health): State<Health>) -> Response {
    let report = health.report().await;
    let status = match report.status {
        HealthStatus::Ok => StatusCode::OK,
        HealthStatus::Degraded => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

/// Whether the service works: the same as `/health`, under the name that orchestrators know
#[utoipa::path(
    get,
    path = READY,
    tag = "operations",
    responses(
        (status = 200, description = "All parts work.", body = HealthReport),
        (status = 503, description = "Some part does not work, or not yet.", body = HealthReport),
    )
)]
pub(crate) async fn ready(health: State<Health>) -> Response {
    self::health(health).await
}

/// Whether the process runs
///
/// Asks no part: a database that is away is no reason to start the process again.
#[utoipa::path(
    get,
    path = LIVE,
    tag = "operations",
    responses((status = 200, description = "It does.", body = HealthReport))
)]
pub(crate) async fn live(State(health): State<Health>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(health.life())).into_response()
}
