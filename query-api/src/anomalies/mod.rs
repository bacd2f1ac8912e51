//! `GET /api/metrics/anomalies`: hours that stand out against the same hour of earlier weeks.

mod answer;
mod detect;
mod params;
mod read;
mod robust;

use axum::{
    Json, Router,
    extract::{Query as QueryString, State, rejection::QueryRejection},
    routing::get,
};
use platform::{
    auth::{Identity, may_read_aggregates},
    clock,
    http::problem::Problem,
    rate_limit::Class,
};

use self::{answer::AnomaliesAnswer, params::AnomaliesParams};
pub(crate) use self::{answer::Anomaly, params::Query, read::find};
use crate::{openapi::Refusals, params::problem, service::AppState, timing};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/anomalies";

/// The route.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route(PATH, get(list))
}

/// Hours that stand out
///
/// Each complete hour is compared with the same hour of the week in the eight weeks before, by
/// a z-score of median and median absolute deviation (Iglewicz and Hoaglin, 1993), and told
/// with the numbers that led to it. A week without events counts as zero, but not before the
/// first event; error rates and execution times of hours without commands are unknown. With
/// less than four weeks nothing is judged. The organization is the token's; every role may read.
#[utoipa::path(
    get,
    path = PATH,
    tag = "query",
    params(AnomaliesParams),
    responses(
        (status = 200, description = "The hours that stand out.", body = AnomaliesAnswer),
        Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<AnomaliesAnswer>, Problem> {
    may_read_aggregates(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    let QueryString(pairs) = pairs?;
    let query = Query::parse(&pairs, clock::now()).map_err(problem)?;

    let read = read::anomalies(&state.database, identity.organization_id, &query);
    let (anomalies, elapsed) = timing::bounded("anomalies", state.slow_query, read).await?;
    Ok(Json(AnomaliesAnswer {
        anomalies,
        query_time_ms: timing::millis(elapsed),
    }))
}
