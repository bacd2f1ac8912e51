//! Single events.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use platform::http::problem::Problem;
use schemas::EventKind;

use crate::{
    accept,
    answer::{Accepted, accepted},
    gateway::GatewayState,
    ids::EventIds,
    openapi::{self as doc, examples},
    posted::Posted,
    request::{JsonBody, Poster, idempotency_key},
};

type Answer = Result<(StatusCode, Json<Accepted>), Problem>;

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
            headers: HeaderMap,
            body: JsonBody,
        ) -> Answer {
            post(EventKind::$kind, &state, &poster, &headers, &body).await
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
    Poster(identity): &Poster,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Answer {
    let read = || {
        let ids = EventIds::new(identity, idempotency_key(headers)?);
        Ok(Posted::plain(kind, body.value()?, ids.id(kind, 0)))
    };
    let event_id = accept::one(shared, identity, Some(kind), read).await?;
    Ok(accepted(event_id))
}
