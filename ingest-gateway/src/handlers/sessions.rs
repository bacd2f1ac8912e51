//! Sessions: they start, go on and end.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
};
use platform::http::problem::Problem;
use schemas::EventKind;

use crate::{
    accept,
    answer::{SessionAccepted, session_accepted},
    gateway::GatewayState,
    ids::EventIds,
    openapi::{self as doc, examples},
    request::{JsonBody, Poster, idempotency_key},
    sessions::{SessionCall, session_event},
};

type Answer = Result<(StatusCode, Json<SessionAccepted>), Problem>;

const KIND: EventKind = EventKind::UserSession;

/// A session that names no `session_id` gets one: the event's id. So a start that is sent
/// again with its `event_id` or its `Idempotency-Key` starts the same session.
#[utoipa::path(
    post,
    path = "/api/metrics/sessions/start",
    tag = "ingest",
    summary = "Starts a session",
    params(doc::Retry),
    request_body(
        content = doc::SessionStart,
        content_type = "application/json",
        examples(
            ("required" = (summary = "The required fields", value = json!(examples::session_start()))),
            ("in_full" = (summary = "More fields", value = json!(examples::session_start_in_full()))),
        ),
    ),
    responses(
        (status = 202, description = "The event is stored", body = SessionAccepted),
        doc::OneRefused,
        doc::Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn start_session(
    State(state): State<GatewayState>,
    poster: Poster,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    let call = SessionCall::Start { now: accept::now() };
    post(call, &state, &poster, &headers, &body).await
}

/// The session need not have been started here. The id `start` is the address of another
/// call: such a session goes on in `/batch`.
#[utoipa::path(
    put,
    path = "/api/metrics/sessions/{session_id}",
    tag = "ingest",
    summary = "Updates or ends a session",
    params(
        ("session_id" = String, Path, min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$",
            description = "The session's id, percent-encoded", example = "editor-4711"),
        doc::Retry,
    ),
    request_body(
        content = doc::SessionUpdate,
        content_type = "application/json",
        examples(
            ("progress" = (summary = "It goes on", value = json!(examples::session_progress()))),
            ("end" = (summary = "It ends", value = json!(examples::session_end()))),
        ),
    ),
    responses(
        (status = 202, description = "The event is stored", body = SessionAccepted),
        doc::OneRefused,
        doc::Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn update_session(
    State(state): State<GatewayState>,
    poster: Poster,
    session_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    let Path(session_id) = session_id?;
    let call = SessionCall::Update {
        session_id: &session_id,
    };
    post(call, &state, &poster, &headers, &body).await
}

async fn post(
    call: SessionCall<'_>,
    GatewayState(shared): &GatewayState,
    Poster(identity): &Poster,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Answer {
    let mut session_id = String::new();
    let read = || {
        let ids = EventIds::new(identity, idempotency_key(headers)?);
        let (posted, id) = session_event(call, body.value()?, ids.id(KIND, 0));
        session_id = id;
        Ok(posted)
    };
    let event_id = accept::one(shared, identity, Some(KIND), read).await?;
    Ok(session_accepted(session_id, event_id))
}
