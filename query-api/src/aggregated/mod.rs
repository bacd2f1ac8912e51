//! `GET /api/metrics/aggregated`: rows of rollups by bucket and group.

pub(crate) mod answer;
mod cursor;
pub(crate) mod fold;
pub(crate) mod group;
pub(crate) mod params;
mod rows;

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
    database::TenantTx,
    http::problem::{Problem, ProblemBody},
    rate_limit::Class,
};
use schemas::Timestamp;

use self::{
    answer::{Aggregated, AggregatedRow},
    fold::{Group, Page},
    params::Query,
};
#[cfg(test)]
pub(crate) use self::{group::GroupBy, params::NAMES as PARAMETERS};
use crate::{
    cache::Asked,
    failure::QueryFailure,
    openapi::{AggregatedParams, Answer, BadQuery},
    params::problem,
    service::AppState,
    watermark,
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
        (status = 200, description = "A page of rows.", body = Answer<Aggregated>,
            headers(
                ("ETag" = String, description = "Of the rows: the same while there are no newer ones. To be sent as `If-None-Match`"),
                ("RateLimit-Policy" = String, description = "The quotas of reads, in requests: `\"read\";q=1000;w=60`"),
                ("RateLimit" = String, description = "What is left of them: `\"read\";r=999;t=1`"),
            )),
        (status = 304, description = "The rows are those with the tag in `If-None-Match`."),
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
    headers: HeaderMap,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    may_read_aggregates(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    let QueryString(pairs) = pairs?;
    let query = Query::parse(&pairs, clock::now()).map_err(problem)?;

    let asked = Asked {
        organization: identity.organization_id,
        kind: "aggregated",
        parameters: query.canonical(),
    };
    let read = |transaction| read_page(transaction, query);
    state.answer(&headers, asked, read).await
}

async fn read_page(mut transaction: TenantTx, query: Query) -> Result<Aggregated, QueryFailure> {
    let watermark = watermark::read(&mut transaction).await?;
    let mut page = Page::new(query.limit);
    rows::read(&mut transaction, &query, |stored| page.push(stored)).await?;
    transaction.finish().await?;
    let (groups, more) = page.finish();
    Ok(answer(&query, watermark, groups, more))
}

fn answer(
    query: &Query,
    watermark: Option<Timestamp>,
    groups: Vec<Group>,
    more: bool,
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
    }
}
