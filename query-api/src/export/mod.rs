//! Exports: `GET /api/metrics/export/{json,csv,ndjson,parquet}`.
//!
//! ```text
//! params ─▶ Wanted ─▶ events::reader, oldest first ─▶ stream: format's encoder ─▶ body ─▶ gzip
//! ```
//!
//! An export is read slice by slice, each slice in a transaction and so in a snapshot of its
//! own ([decision 23](../../../docs/decisions/0023-exports.md)).

mod csv;
pub(crate) mod describe;
mod format;
mod json;
mod params;
mod parquet;
mod stream;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Query as QueryString, State, rejection::PathRejection},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{
    auth::{Identity, may_export},
    clock,
    http::problem::Problem,
    rate_limit::Class,
};
use schemas::Timestamp;
use tokio::sync::Semaphore;
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

use self::{format::Format, params::Query};
#[cfg(test)]
pub(crate) use self::{
    format::Format as ExportFormat,
    params::{KINDS, parameters},
};
use crate::{
    events::{Pairs, params::nothing_to_search, reader::Reader},
    failure::QueryFailure,
    params::problem,
    service::AppState,
    timing,
};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/export/{format}";

/// The export's range, which its name has only to the second.
const START_DATE: HeaderName = HeaderName::from_static("flowmeter-start-date");
const END_DATE: HeaderName = HeaderName::from_static("flowmeter-end-date");

/// When to try again if too many exports run.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The route.
pub(crate) fn router() -> Router<AppState> {
    let worth_it = SizeAbove::new(64).and(NotForContentType::const_new(format::PARQUET));
    let gzip = CompressionLayer::new()
        // An export waits for its bytes more than for the network.
        .quality(CompressionLevel::Fastest)
        .compress_when(worth_it);
    Router::new().route(PATH, get(export)).layer(gzip)
}

/// Room for so many exports at a time.
pub(crate) fn room(exports: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(exports))
}

/// Events of one kind, all of a range
///
/// Oldest first, by `timestamp`, `event_id`, `source_partition` and `source_offset`; of any
/// size, in gzip if the request accepts it. Who may read events may export them, but viewers
/// may not.
///
/// - `json`: an array. `ndjson`: an object a line. Objects as in the lists.
/// - `csv`: RFC 4180, with a header row. Null is an empty cell; objects and lists are JSON. A text
///   that begins with `=`, `+`, `-`, `@`, a tab or a line break has an apostrophe put before
///   it, so that no spreadsheet takes it for a formula.
/// - `parquet`: row groups of at most 50,000 rows, in zstd; instants in microseconds, UUIDs,
///   `decimal(38,12)`, JSON and lists as such.
///
/// **Whether it is whole.** An export that breaks off ends without the last chunk of HTTP's
/// chunked coding: the client reports an error (curl: 18 or 56). A JSON array then has no end,
/// and a Parquet file no footer.
///
/// **To go on**, send the same parameters, with `end_date` as the header `Flowmeter-End-Date`
/// had it, and `cursor=timestamp,event_id,source_partition,source_offset` of the last whole row.
///
/// **What is in it.** Every event of the range that was stored before the export began and
/// not removed meanwhile, once. Events stored while it runs are in it if their time was not
/// passed yet. By default it ends five seconds ago.
#[utoipa::path(
    get,
    path = PATH,
    tag = "events",
    params(describe::Form, crate::events::describe::Common, describe::Filters),
    responses(
        (status = 200, description = "The events.",
            content(
                (String = "application/json"),
                (String = "text/csv"),
                (String = "application/x-ndjson"),
                (Vec<u8> = "application/vnd.apache.parquet"),
            ),
            headers(
                ("Content-Disposition" = String, description = "A name for the file"),
                ("Flowmeter-Start-Date" = String, description = "The range's start, as given or by default"),
                ("Flowmeter-End-Date" = String, description = "The range's end, as given or by default"),
            )),
        describe::Refusals,
        crate::events::describe::Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn export(
    State(state): State<AppState>,
    identity: Identity,
    format: Result<Path<String>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let readable = may_export(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    let Path(format) = format?;
    let format: Format = format.parse().map_err(|()| Problem::not_found())?;
    let QueryString(pairs) = pairs?;
    let query = Query::parse(&pairs, clock::now()).map_err(problem)?;
    let permit = Arc::clone(&state.exports)
        .try_acquire_owned()
        .map_err(|_| too_many())?;

    // The first step is read before the answer begins, so that its failure has a status.
    let wanted = query.wanted(identity.organization_id, readable);
    let read = async {
        let Some(mut reader) = Reader::start(state.database.clone(), wanted).await? else {
            return Ok(None);
        };
        let first = reader.next().await?;
        Ok::<_, QueryFailure>(Some((reader, first)))
    };
    let (begun, _elapsed) = timing::bounded("export", state.slow_query, read).await?;
    let (reader, first) = begun.ok_or_else(|| problem(nothing_to_search()))?;

    let headers = [
        (header::CONTENT_TYPE, value(format.media_type())),
        (
            header::CONTENT_DISPOSITION,
            value(&disposition(&query, format)),
        ),
        (START_DATE, value(&query.range.0.to_string())),
        (END_DATE, value(&query.range.1.to_string())),
    ];
    let body = stream::begin(reader, first, format, query.kind(), permit);
    Ok((headers, body).into_response())
}

fn too_many() -> Problem {
    Problem::unavailable(
        "too_many_exports",
        "As many exports are running as this service runs at a time; try again later.",
        RETRY_AFTER,
    )
}

/// A name that says what is in the file, such as
/// `flowmeter-commands-20260301T000000Z-20260302T000000Z.csv`.
fn disposition(query: &Query, format: Format) -> String {
    let second = |instant: Timestamp| {
        let instant = chrono::DateTime::<chrono::Utc>::from(instant);
        instant.format("%Y%m%dT%H%M%SZ").to_string()
    };
    format!(
        "attachment; filename=\"flowmeter-{}-{}-{}.{format}\"",
        query.kind(),
        second(query.range.0),
        second(query.range.1),
    )
}

/// Of what is ASCII, since we wrote it.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
