//! Sessions: they start, go on and end.

use std::sync::OnceLock;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
};
use platform::http::problem::Problem;
use schemas::EventKind;

use crate::{
    accept,
    gateway::GatewayState,
    idempotency::Claim,
    ids::EventIds,
    openapi::{self as doc, examples},
    receipts::{SessionAccepted, Settled, Wait, session_answer},
    request::{JsonBody, Poster, idempotency_key},
    sessions::{SessionCall, session_event},
};

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
    wait: Wait,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let call = SessionCall::Start { now: accept::now() };
    post(call, &state, &poster, &wait, &headers, &body).await
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
    wait: Wait,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Path(session_id) = session_id?;
    let call = SessionCall::Update {
        session_id: &session_id,
    };
    post(call, &state, &poster, &wait, &headers, &body).await
}

async fn post(
    call: SessionCall<'_>,
    GatewayState(shared): &GatewayState,
    poster: &Poster,
    wait: &Wait,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Result<Response, Problem> {
    let session_id = OnceLock::new();
    let read = || {
        let identity = &poster.identity;
        let key = idempotency_key(headers)?;
        let claim = Claim::of(identity, key.as_deref(), &call.name(), body);
        let given = EventIds::new(identity, key).id(KIND, 0);
        let (posted, id) = session_event(call, body.value()?, given);
        session_id.get_or_init(|| id);
        Ok((posted, claim))
    };
    let answer = |topic: &str, settled: &Settled| {
        let session_id = session_id.get().cloned().unwrap_or_default();
        session_answer(session_id, topic, settled)
    };
    accept::one(shared, poster, Some(KIND), wait, read, answer).await
}
