//! `GET /api/metrics/live`.

use std::time::Duration;

use axum::{
    Extension,
    extract::{
        Query as QueryString, State,
        rejection::QueryRejection,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use platform::{
    clock,
    http::{
        problem::{Problem, ProblemBody},
        server::ConnectionHold,
    },
};

use super::{
    access,
    description::LiveParams,
    messages::Message,
    params::{Resume, ViewQuery},
    slots::Full,
    sse,
    stream::Stream,
    websocket,
};
use crate::{openapi::BadQuery, params::problem, service::AppState};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/live";

/// How long a client should wait when there are too many.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Rows as they change
///
/// A stream of the newest buckets: a WebSocket, or Server-Sent Events with `Accept:
/// text/event-stream`. First a snapshot, then deltas; rows are those of `/aggregated`.
///
/// The token comes in the `Authorization` header, or, of a browser's WebSocket, as a protocol
/// (`Sec-WebSocket-Protocol: flowmeter.live.v1, bearer.<token>`) or in the first message
/// (`{"type":"auth","token":"…"}`), never in the address. When it expires, the stream ends with
/// `token_expired` (close code 4401).
///
/// A client that lost its connection sends the last `cursor` it got (`Last-Event-ID` of
/// Server-Sent Events) and is told what changed since, or a gap and a snapshot.
#[utoipa::path(
    get,
    path = PATH,
    tag = "query",
    params(LiveParams),
    responses(
        (status = 101, description = "A WebSocket. Its text messages are `LiveMessage`s."),
        (status = 200, description = "Server-Sent Events: `data` is a `LiveMessage`, `id` its cursor.", body = Message, content_type = "text/event-stream"),
        (status = 400, description = "`invalid_query`: every fault of the parameters, in `errors`.", body = BadQuery, content_type = "application/problem+json"),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 426, description = "`upgrade_required`: neither a WebSocket nor Server-Sent Events were asked for.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`; `too_many_streams` of the organization.", body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "`live_warming`: the log is being read. `live_full`: too many streams. `keys_unavailable`.", body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn live(
    State(state): State<AppState>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
    hold: Option<Extension<ConnectionHold>>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.ok();
    let access = match access::token(&headers)? {
        Some(token) => Some(access::admit(&state, token).await?),
        // It may still come in the first message.
        None if upgrade.is_some() => None,
        None => return Err(access::missing()),
    };
    let QueryString(pairs) = pairs?;
    let now = clock::now();
    let (query, resume) = ViewQuery::parse(&pairs, now).map_err(problem)?;
    if upgrade.is_none() && !accepts_events(&headers) {
        return Err(upgrade_required());
    }
    let world = state.live.world_for(&query, now)?;
    let mut slot = state.live.slots.take().map_err(full)?;
    if let Some(access) = &access {
        slot = slot.of(access.identity.organization_id).map_err(full)?;
    }
    match (upgrade, access) {
        (Some(upgrade), access) => {
            let looking = websocket::Looking {
                state,
                query,
                resume,
                access,
                slot,
                hold: hold.map(|Extension(hold)| hold),
            };
            Ok(looking.upgrade(upgrade))
        }
        (None, None) => Err(access::missing()),
        (None, Some(access)) => {
            let last = headers.get("last-event-id");
            let last = last.map(|id| Resume::of(id.to_str().unwrap_or_default()));
            let feed = world.feed(access.identity.organization_id, query);
            let shutdown = state.live.shutdown.clone();
            let resume = last.or(resume);
            let stream = Stream::start(feed, resume, access.expires, shutdown, "sse", slot);
            Ok(sse::answer(stream))
        }
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut types = accepted.filter_map(|value| value.to_str().ok());
    types.any(|types| {
        let mut types = types.split(',');
        types.any(|one| {
            one.split(';')
                .next()
                .is_some_and(|one| one.trim() == "text/event-stream")
        })
    })
}

fn upgrade_required() -> Problem {
    Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        "upgrade_required",
        "Ask for a WebSocket, or for Server-Sent Events with Accept: text/event-stream.",
    )
    .header(header::UPGRADE, HeaderValue::from_static("websocket"))
}

/// There is no room for one more stream.
pub(super) fn full(full: Full) -> Problem {
    match full {
        Full::Instance => Problem::unavailable(
            "live_full",
            "This instance has as many live streams as it may.",
            RETRY_AFTER,
        ),
        Full::Organization => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            "The organization has as many live streams as it may.",
        )
        .retry_after(RETRY_AFTER),
    }
}
