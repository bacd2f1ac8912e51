//! Many events of all kinds.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use platform::{auth::Identity, http::problem::Problem};

use crate::{
    accept::{self, Read},
    batch::{Batch, BatchError},
    gateway::{GatewayState, Shared},
    idempotency::Claim,
    ids::EventIds,
    openapi::{self as doc, examples},
    prepare::Entry,
    receipts::Wait,
    refusal::field_error,
    request::{JsonBody, Poster, idempotency_key, malformed, one_key},
};

/// Each event is judged alone.
#[utoipa::path(
    post,
    path = "/api/metrics/batch",
    tag = "ingest",
    summary = "Posts events of all kinds",
    params(doc::Retry),
    request_body(
        content = doc::Batch,
        content_type = "application/json",
        examples(("all_kinds" = (summary = "Events of all kinds", value = json!(examples::batch())))),
    ),
    responses(
        (status = 202, description = "All events are stored", body = doc::BatchAnswer),
        (status = 207, description = "Some events are stored", body = doc::BatchAnswer),
        doc::ManyRefused,
        doc::Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn post_batch(
    State(state): State<GatewayState>,
    poster: Poster,
    wait: Wait,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let caller = poster.identity.clone();
    let read = move |shared: &Shared, body: &JsonBody| entries(shared, &caller, key, body);
    accept::many(state, &poster, &wait, body, read).await
}

fn entries(
    shared: &Shared,
    identity: &Identity,
    key: Option<String>,
    body: &JsonBody,
) -> Read<Vec<Entry>> {
    let max = shared.max_batch_size;
    let mut batch = Batch::read(body.text()?, max).map_err(|error| batch_problem(error, max))?;
    let key = one_key(key, batch.batch_id.take())?;
    let claim = Claim::of(identity, key.as_deref(), "batch", body);
    let ids = EventIds::new(identity, key);
    let judge = shared.judge(identity, batch.timestamp);
    Ok((judge.entries(batch.events(&ids)), claim))
}

pub(super) fn batch_problem(error: BatchError, max: usize) -> Problem {
    match error {
        BatchError::Malformed(why) => malformed(why),
        BatchError::Invalid(faults) => {
            Problem::bad_request("invalid_batch", "The batch has the faults in `errors`.")
                .errors(faults.iter().map(field_error).collect())
        }
        BatchError::TooMany(count) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "batch_too_large",
            format!("A batch has at most {max} events; this one has {count}."),
        ),
    }
}
