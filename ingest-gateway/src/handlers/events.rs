//! Single events.

use axum::{extract::State, http::HeaderMap, response::Response};
use platform::http::problem::Problem;
use schemas::EventKind;

use crate::{
    accept,
    gateway::GatewayState,
    idempotency::Claim,
    ids::EventIds,
    openapi::{self as doc, examples},
    posted::Posted,
    receipts::{Accepted, Wait, single_answer},
    request::{JsonBody, Poster, idempotency_key},
};

/// The call of one kind: its name, its path, its body and two examples of it.
macro_rules! call {
    ($name:ident, $kind:ident, $path:literal, $summary:literal, $body:path, $few:path, $all:path) => {
        #[utoipa::path(
                    post,
                    path = $path,
                    tag = "ingest",
                    summary = $summary,
                    params(doc::Retry),
                    request_body(
                        content = $body,
                        content_type = "application/json",
                        examples(
                            ("required" = (summary = "The required fields", value = json!($few()))),
                            ("in_full" = (summary = "More fields", value = json!($all()))),
                        ),
                    ),
                    responses(
                        (status = 202, description = "The event is stored", body = Accepted),
                        doc::OneRefused,
                        doc::Refusals,
                    ),
                    security(("bearer" = []))
                )]
        pub(crate) async fn $name(
            State(state): State<GatewayState>,
            poster: Poster,
            wait: Wait,
            headers: HeaderMap,
            body: JsonBody,
        ) -> Result<Response, Problem> {
            post(EventKind::$kind, &state, &poster, &wait, &headers, &body).await
        }
    };
}

call!(
    post_command,
    CommandExecution,
    "/api/metrics/commands",
    "Posts a command execution",
    doc::CommandExecution,
    examples::command,
    examples::command_in_full
);
call!(
    post_agent,
    AgentInteraction,
    "/api/metrics/agents",
    "Posts an agent interaction",
    doc::AgentInteraction,
    examples::agent,
    examples::agent_in_full
);
call!(
    post_metric,
    ProductivityMetric,
    "/api/metrics/productivity",
    "Posts a productivity metric",
    doc::ProductivityMetric,
    examples::metric,
    examples::metric_in_full
);

async fn post(
    kind: EventKind,
    GatewayState(shared): &GatewayState,
    poster: &Poster,
    wait: &Wait,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Result<Response, Problem> {
    let read = || {
        let identity = &poster.identity;
        let key = idempotency_key(headers)?;
        let claim = Claim::of(identity, key.as_deref(), kind.plural(), body);
        let id = EventIds::new(identity, key).id(kind, 0);
        Ok((Posted::plain(kind, body.value()?, id), claim))
    };
    accept::one(shared, poster, Some(kind), wait, read, single_answer).await
}
