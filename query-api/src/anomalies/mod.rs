//! `GET /api/metrics/anomalies`: hours that stand out against the same hour of earlier weeks.

mod answer;
mod detect;
mod params;
mod read;
mod robust;

use axum::{
    Router,
    extract::{Query as QueryString, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use platform::{
    auth::{Identity, may_read_aggregates},
    clock,
    http::problem::Problem,
    rate_limit::Class,
};

use self::{answer::Anomalies, params::AnomaliesParams};
pub(crate) use self::{answer::Anomaly, params::Query, read::find};
use crate::{
    cache::Asked,
    openapi::{Answer, Refusals},
    params::problem,
    service::AppState,
};

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
        (status = 200, description = "The hours that stand out.", body = Answer<Anomalies>),
        Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    headers: HeaderMap,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    may_read_aggregates(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    let QueryString(pairs) = pairs?;
    let query = Query::parse(&pairs, clock::now()).map_err(problem)?;

    let asked = Asked {
        organization: identity.organization_id,
        kind: "anomalies",
        parameters: query.canonical(),
    };
    let read =
        async move |transaction, watermark| read::anomalies(transaction, &query, watermark).await;
    state.answer(&headers, asked, read).await
}
