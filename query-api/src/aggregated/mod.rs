//! `GET /api/metrics/aggregated`, and the same as `POST /api/metrics/query`: rows of rollups by
//! bucket and group.

pub(crate) mod answer;
mod buckets;
mod cursor;
mod days;
pub(crate) mod fold;
pub(crate) mod group;
mod json;
mod params;
mod query;
mod read;
pub(crate) mod row;
mod rows;

use std::fmt::Display;

use axum::{
    Router,
    extract::{Query as QueryString, Request, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::Response,
    routing::{get, post},
};
use platform::{
    auth::{Identity, may_read_aggregates},
    clock,
    http::{
        body::{self, Limits},
        media_type::sent_as,
        problem::{Problem, ProblemBody},
    },
    rate_limit::Class,
};

pub(crate) use self::query::Query;
use self::{answer::Aggregated, read::answer};
#[cfg(test)]
pub(crate) use self::{group::GroupBy, params::NAMES as PARAMETERS};
use crate::{
    cache::Asked,
    openapi::{AggregatedParams, Answer, BadQuery, QueryBody},
    params::problem,
    service::AppState,
};

/// The path of a query in the URL.
pub(crate) const PATH: &str = "/api/metrics/aggregated";
/// The path of a query as a body.
pub(crate) const QUERY_PATH: &str = "/api/metrics/query";

/// What a query's body may be sent as.
const JSON: &str = "application/json";

/// The routes.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route(PATH, get(aggregated))
        .route(QUERY_PATH, post(query))
}

/// Rollups by bucket and group
///
/// Rows come by bucket and group, ascending, in pages. A row exists only where
/// there were events, unless `fill=true`. Buckets that are still open count as
/// far as they are known: their rows are not `complete`. The organization is the
/// token's; every role may read.
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
    let query = Query::parse(&pairs, &state.windows, clock::now()).map_err(problem)?;
    answered(&state, &identity, &headers, query).await
}

/// Rollups by bucket and group, asked for in JSON
///
/// As `GET /api/metrics/aggregated`, whose parameters it has as members, and with lists of
/// values in filters. A cursor of the one goes on in the other.
#[utoipa::path(
    post,
    path = QUERY_PATH,
    tag = "query",
    request_body(content = QueryBody, content_type = "application/json"),
    responses(
        (status = 200, description = "A page of rows.", body = Answer<Aggregated>,
            headers(
                ("RateLimit-Policy" = String, description = "The quotas of reads, in requests: `\"read\";q=1000;w=60`"),
                ("RateLimit" = String, description = "What is left of them: `\"read\";r=999;t=1`"),
            )),
        (status = 400, description = "`invalid_query`: every fault of the body, in `errors`. Or `malformed_json`, `invalid_encoding`, `incomplete_body`.", body = BadQuery, content_type = "application/problem+json"),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`: the body took too long to arrive.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`payload_too_large`: a body has at most 64 KiB, as sent and decoded.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type` or `unsupported_encoding`.", body = ProblemBody, content_type = "application/problem+json"),
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
pub(crate) async fn query(
    State(state): State<AppState>,
    identity: Identity,
    request: Request,
) -> Result<Response, Problem> {
    let mut headers = request.headers().clone();
    // 304 is an answer to GET and HEAD alone (RFC 9110, section 13.1.2).
    headers.remove(header::IF_NONE_MATCH);
    may_read_aggregates(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    sent_as(request.headers(), &[JSON])?;
    let limits = Limits::of(&request);
    let body = body::read(request, &limits).await?;
    let text = str::from_utf8(&body).map_err(|_| malformed("it is not UTF-8"))?;
    let body = serde_json::from_str(text).map_err(malformed)?;
    let query = Query::from_json(body, &state.windows, clock::now()).map_err(problem)?;
    answered(&state, &identity, &headers, query).await
}

fn malformed(why: impl Display) -> Problem {
    Problem::bad_request("malformed_json", format!("The body is not JSON: {why}."))
}

/// The answer to a query, whichever way it was asked.
async fn answered(
    state: &AppState,
    identity: &Identity,
    headers: &HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    let asked = Asked {
        organization: identity.organization_id,
        kind: "aggregated",
        parameters: query.canonical(),
    };
    state
        .answer(headers, asked, |transaction, watermark| {
            answer(transaction, query, watermark)
        })
        .await
}
