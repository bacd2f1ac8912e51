//! `GET /api/metrics/real-time/{window}`.

use axum::{
    Json,
    extract::{
        Path, Query as QueryString, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use platform::{
    auth::{Identity, may_read_aggregates},
    clock,
    http::problem::{Problem, ProblemBody},
    rate_limit::Class,
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{description::RealTimeParams, messages::text, params::ViewQuery};
use crate::{
    aggregated::row::AggregatedRow,
    openapi::{BadQuery, WindowName},
    params::problem,
    service::AppState,
    timing,
};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/real-time/{window}";

/// The newest rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RealTime {
    /// The rows' window.
    #[schema(example = "1m")]
    window: &'static str,
    /// By what the rows are grouped.
    group_by: &'static str,
    /// The oldest bucket of the answer.
    #[schema(format = DateTime)]
    from: String,
    /// No event from before this instant is expected any more. Null while that is not known.
    #[schema(format = DateTime, required = true)]
    watermark: Option<String>,
    /// The rows by bucket and group, ascending; the null group is a bucket's last.
    data: Vec<AggregatedRow>,
    /// How long the query took, in milliseconds.
    query_time_ms: f64,
}

/// The open buckets, out of memory
///
/// The same rows as `/aggregated` has, a moment earlier, since no database is asked: of the
/// bucket that is open, and of events that are ahead of the clock. With `buckets`, of the ones
/// before it, too. `/live` goes on telling them.
#[utoipa::path(
    get,
    path = PATH,
    tag = "query",
    params(
        ("window" = inline(WindowName), Path, description = "The length of a bucket, in UTC."),
        RealTimeParams,
    ),
    responses(
        (status = 200, description = "The rows.", body = RealTime),
        (status = 400, description = "`invalid_query`: every fault of the parameters, in `errors`.", body = BadQuery, content_type = "application/problem+json"),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the same request passes after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "`live_warming`: the log is being read. `keys_unavailable`.", body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn real_time(
    State(state): State<AppState>,
    identity: Identity,
    window: Result<Path<String>, PathRejection>,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<RealTime>, Problem> {
    may_read_aggregates(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    let Path(window) = window?;
    let QueryString(pairs) = pairs?;
    let started = Instant::now();
    let now = clock::now();
    let query = ViewQuery::parse_once(&window, &pairs, now).map_err(problem)?;
    let world = state.live.world_for(&query, now)?;
    // Before the rows: what it covers is in them.
    let watermark = *world.watermark().borrow();
    let tenant = world.tenant(identity.organization_id);
    let told = tenant.state().look(query.clone(), now, watermark);
    let rows = told.rows.into_iter();
    Ok(Json(RealTime {
        window: query.window().as_str(),
        group_by: query.group_by().as_str(),
        from: told.from.to_string(),
        watermark: text(watermark),
        data: rows
            .map(|group| AggregatedRow::of(group, None, query.rows(), watermark))
            .collect(),
        query_time_ms: timing::millis(started.elapsed()),
    }))
}
