//! Events as CloudEvents.

use axum::{extract::State, http::HeaderMap, response::Response};
use platform::{auth::Identity, http::problem::Problem};

use super::batch::batch_problem;
use crate::{
    accept,
    batch::read_array,
    cloud_events::{Mode, binary, structured},
    gateway::{GatewayState, Shared},
    idempotency::Claim,
    openapi::{self as doc, examples},
    prepare::Entry,
    receipts::{Wait, single_answer},
    request::{CloudEventBody, JsonBody, Poster, idempotency_key},
};

/// CloudEvents 1.0 in all three modes of their HTTP binding:
///
/// - structured: one event as `application/cloudevents+json`, at most 1 MiB;
/// - batched: several as `application/cloudevents-batch+json`, at most `MAX_BATCH_SIZE`
///   (1000 unless configured) and 10 MiB, each judged alone;
/// - binary: one event, its attributes in the headers `ce-specversion`, `ce-id`,
///   `ce-source`, `ce-type` and, if it has them, `ce-time`, `ce-subject` and others, its
///   `data` as the body, sent as `application/json`, at most 1 MiB. Header values are
///   percent-encoded. Faults are told with the pointers of the structured form.
///
/// The types are `com.flowmeter.command_execution.v1`,
/// `com.flowmeter.agent_interaction.v1`, `com.flowmeter.productivity_metric.v1` and
/// `com.flowmeter.user_session.v1`. An event's id is the CloudEvent's `id` if that is a UUID,
/// or else follows from `source` and `id`: one delivered twice counts once, with or without
/// an `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/api/metrics/events",
    tag = "ingest",
    summary = "Posts CloudEvents",
    params(doc::Retry),
    request_body(content(
        (doc::CloudEvent = "application/cloudevents+json", examples(
            ("command" = (summary = "A command execution", value = json!(examples::cloud_event_command()))),
            ("extended" = (summary = "With a UUID and an extension attribute", value = json!(examples::cloud_event_extended()))),
        )),
        (Vec<doc::CloudEvent> = "application/cloudevents-batch+json", examples(
            ("several" = (summary = "Two events", value = json!(examples::cloud_events()))),
        )),
    )),
    responses(
        (status = 202, description = "The event is, or all events are, stored", body = doc::CloudEventsAnswer),
        (status = 207, description = "Some events of a batch are stored", body = doc::BatchAnswer),
        doc::ManyRefused,
        doc::Refusals,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn post_cloud_events(
    State(state): State<GatewayState>,
    poster: Poster,
    wait: Wait,
    headers: HeaderMap,
    CloudEventBody { mode, body }: CloudEventBody,
) -> Result<Response, Problem> {
    // What identifies an event is its own; a key is held to its payload like everywhere.
    let key = idempotency_key(&headers)?;
    let identity = &poster.identity;
    let claim = Claim::of(identity, key.as_deref(), "events", &body);
    if mode == Mode::Batched {
        let caller = identity.clone();
        let read =
            move |shared: &Shared, body: &JsonBody| Ok((entries(shared, &caller, body)?, claim));
        return accept::many(state, &poster, &wait, body, read).await;
    }
    let organization = identity.organization_id;
    let read = || {
        let value = body.value()?;
        let posted = match mode {
            Mode::Binary => binary(&headers, value, organization),
            _ => structured(value, organization),
        };
        Ok((posted, claim))
    };
    accept::one(&state.0, &poster, None, &wait, read, single_answer).await
}

fn entries(shared: &Shared, identity: &Identity, body: &JsonBody) -> Result<Vec<Entry>, Problem> {
    let max = shared.max_batch_size;
    let events = read_array(body.text()?, max).map_err(|error| batch_problem(error, max))?;
    let organization = identity.organization_id;
    let posted = events.into_iter().map(|raw| structured(raw, organization));
    Ok(shared.judge(identity, None).entries(posted.enumerate()))
}
