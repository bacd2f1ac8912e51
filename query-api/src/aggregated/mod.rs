//! `GET /api/metrics/aggregated`: rows of rollups by bucket and group.

pub(crate) mod answer;
mod cursor;
pub(crate) mod fold;
pub(crate) mod group;
mod params;
mod rows;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Query as QueryString, State, rejection::QueryRejection},
    routing::get,
};
use platform::{
    auth::{Identity, may_read_aggregates},
    clock,
    database::TenantDb,
    http::problem::{Problem, ProblemBody},
    rate_limit::Class,
};
use schemas::Timestamp;
use uuid::Uuid;

use self::{
    answer::{Aggregated, AggregatedRow},
    fold::{Group, Page},
    params::Query,
};
#[cfg(test)]
pub(crate) use self::{group::GroupBy, params::NAMES as PARAMETERS};
use crate::{
    failure::QueryFailure,
    openapi::{AggregatedParams, BadQuery},
    params::problem,
    service::AppState,
    timing, watermark,
};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/aggregated";

/// The route.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route(PATH, get(aggregated))
}

/// Rollups by bucket and group
///
/// Rows come by bucket and group, ascending, in pages. A row exists only where
/// there were events. The organization is the token's; every role may read.
#[utoipa::path(
    get,
    path = PATH,
    tag = "query",
    params(AggregatedParams),
    responses(
        (status = 200, description = "A page of rows.", body = Aggregated,
            headers(
                ("RateLimit-Policy" = String, description = "The quotas of reads, in requests: `\"read\";q=1000;w=60`"),
                ("RateLimit" = String, description = "What is left of them: `\"read\";r=999;t=1`"),
            )),
        (status = 400, description = "`invalid_query`: every fault of the parameters, in `errors`.", body = BadQuery, content_type = "application/problem+json"),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the same request passes after `Retry-After`. `violated-policies` names the quotas.", body = ProblemBody, content_type = "application/problem+json",
            headers(
                ("Retry-After" = u32, description = "Seconds"),
                ("RateLimit-Policy" = String, description = "The quotas of reads"),
                ("RateLimit" = String, description = "What is left of them"),
            )),
        (status = 500, description = "`internal`: logged under the id in `instance`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`database_unavailable`, or `keys_unavailable` to verify tokens with: the same request may succeed after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "`query_timeout`: ask for a shorter range, a longer window or fewer rows.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn aggregated(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Aggregated>, Problem> {
    may_read_aggregates(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    let QueryString(pairs) = pairs?;
    let query = Query::parse(&pairs, clock::now()).map_err(problem)?;

    let read = read_page(&state.database, identity.organization_id, &query);
    let ((watermark, groups, more), elapsed) =
        timing::bounded("aggregated", state.slow_query, read).await?;
    Ok(Json(answer(&query, watermark, groups, more, elapsed)))
}

async fn read_page(
    database: &TenantDb,
    organization_id: Uuid,
    query: &Query,
) -> Result<(Option<Timestamp>, Vec<Group>, bool), QueryFailure> {
    let mut transaction = database.begin(organization_id).await?;
    let watermark = watermark::read(&mut transaction).await?;
    let mut page = Page::new(query.limit);
    rows::read(&mut transaction, query, |stored| page.push(stored)).await?;
    transaction.finish().await?;
    let (groups, more) = page.finish();
    Ok((watermark, groups, more))
}

fn answer(
    query: &Query,
    watermark: Option<Timestamp>,
    groups: Vec<Group>,
    more: bool,
    elapsed: Duration,
) -> Aggregated {
    let last = groups.last().filter(|_| more);
    let next_cursor = last.map(|group| {
        let cursor = query.cursor_after(group.bucket_start, group.key.clone());
        cursor.encode()
    });
    let data = groups
        .into_iter()
        .map(|group| AggregatedRow::of(group, query, watermark))
        .collect();
    Aggregated {
        window: query.window.as_str(),
        group_by: query.group_by.as_str(),
        start_date: query.start.to_string(),
        end_date: query.end.to_string(),
        watermark: watermark.map(|until| until.to_string()),
        data,
        next_cursor,
        query_time_ms: timing::millis(elapsed),
    }
}
