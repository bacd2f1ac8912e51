//! `GET /api/metrics/dashboard`: a range of time at a glance.

mod activity;
mod answer;
mod fold;
mod hours;
mod params;
mod read;
mod series;
mod trend;

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

pub(crate) use self::params::Query;
use self::{answer::Dashboard, params::DashboardParams};
#[cfg(test)]
pub(crate) use self::{params::TimeRange, read::dashboard};
use crate::{
    cache::Asked,
    openapi::{Answer, Refusals},
    params::problem,
    service::AppState,
};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/dashboard";

/// The route.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route(PATH, get(show))
}

/// A range of time at a glance
///
/// Figures beside those of the range before, a series and its trends, the most used commands,
/// agents and models, the most active users and teams, the hours of the week, and what stood
/// out. The organization is the token's; every role may read.
///
/// The range begins and ends with buckets of the series, and the last one holds now:
/// `start_date` and `end_date` say which range it was. With `team_id` or `user_id`, everything
/// is of that team or user.
#[utoipa::path(
    get,
    path = PATH,
    tag = "query",
    params(DashboardParams),
    responses(
        (status = 200, description = "The dashboard.", body = Answer<Dashboard>),
        Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn show(
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
        kind: "dashboard",
        parameters: query.canonical(),
    };
    let read =
        async move |transaction, watermark| read::dashboard(transaction, &query, watermark).await;
    state.answer(&headers, asked, read).await
}
