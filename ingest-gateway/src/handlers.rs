//! The calls.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::Utc;
use platform::{auth::Identity, http::problem::Problem, telemetry::names};
use schemas::{EventKind, Timestamp, event::ValidationContext};
use serde_json::value::RawValue;

use crate::{
    answer::{Outcome, batch_answer},
    batch::{Batch, BatchError},
    gateway::{GatewayState, Shared},
    idempotency::Claim,
    ids::EventIds,
    openapi as doc,
    prepare::{Entry, Judge},
    publish::Publisher,
    receipts::{Accepted, Fate, Receipt, Settled, Wait, single_answer},
    refusal::field_error,
    request::{JsonBody, Poster, idempotency_key, malformed, one_key},
};

type Answer = Result<Response, Problem>;

/// Answered when the broker has the event, and not before.
#[utoipa::path(
    post,
    path = "/api/metrics/commands",
    tag = "ingest",
    summary = "Posts a command execution",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "1 to 255 characters. The same key of the same caller gives events without an event_id the same ids, by which a request sent again is known; with another payload it is refused (422)")),
    request_body(content = doc::CommandExecution, content_type = "application/json"),
    responses(
        (status = 202, description = "The log has the event", body = Accepted),
        (status = 400, description = "The request has faults", body = doc::BadEvent, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = doc::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller may not post this event (role_not_allowed, not_as_itself, not_your_team)", body = doc::Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 1 MiB (payload_too_large), or the event larger than Kafka takes (event_too_large)", body = doc::Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json, or has a Content-Encoding", body = doc::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The broker is away; try again after Retry-After seconds", body = doc::Unavailable, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn post_command(
    State(state): State<GatewayState>,
    poster: Poster,
    wait: Wait,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    post_one(
        EventKind::CommandExecution,
        &state.0,
        &poster,
        &wait,
        &headers,
        &body,
    )
    .await
}

/// Answered when the broker has the event, and not before.
#[utoipa::path(
    post,
    path = "/api/metrics/agents",
    tag = "ingest",
    summary = "Posts an agent interaction",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "1 to 255 characters. The same key of the same caller gives events without an event_id the same ids, by which a request sent again is known; with another payload it is refused (422)")),
    request_body(content = doc::AgentInteraction, content_type = "application/json"),
    responses(
        (status = 202, description = "The log has the event", body = Accepted),
        (status = 400, description = "The request has faults", body = doc::BadEvent, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = doc::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller may not post this event (role_not_allowed, not_as_itself, not_your_team)", body = doc::Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 1 MiB (payload_too_large), or the event larger than Kafka takes (event_too_large)", body = doc::Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json, or has a Content-Encoding", body = doc::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The broker is away; try again after Retry-After seconds", body = doc::Unavailable, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn post_agent(
    State(state): State<GatewayState>,
    poster: Poster,
    wait: Wait,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    post_one(
        EventKind::AgentInteraction,
        &state.0,
        &poster,
        &wait,
        &headers,
        &body,
    )
    .await
}

async fn post_one(
    kind: EventKind,
    shared: &Shared,
    poster: &Poster,
    wait: &Wait,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Answer {
    let published = publish_one(kind, shared, poster, headers, body).await;
    match &published {
        Ok(_) => count_accepted(kind),
        Err(problem) => count_refused(kind, problem.code().to_owned()),
    }
    let mut settled = Settled {
        receipt: published?,
        fate: Fate::Accepted,
    };
    let waited = shared.receipts.settle(&mut [&mut settled], wait).await;
    let topic = &shared.publisher.topics[kind as usize];
    Ok(wait.applied(waited, single_answer(topic, &settled)))
}

async fn publish_one(
    kind: EventKind,
    shared: &Shared,
    Poster(identity): &Poster,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Result<Receipt, Problem> {
    let key = idempotency_key(headers)?;
    let raw: &RawValue = serde_json::from_str(body.text()?).map_err(malformed)?;
    let claim = key
        .as_deref()
        .map(|key| Claim::new(identity, key, kind.plural(), &body.0));
    let given = EventIds::new(identity, key).id(kind, 0);
    let record = shared
        .judge(identity, None)
        .record(kind, raw, given)
        .map_err(|refusal| refusal.into_problem(given))?;
    let event_id = record.event_id;
    let mut outcomes = shared.publisher.publish(vec![record], claim).await?;
    let outcome = outcomes.pop().expect("a record has an outcome");
    outcome.map_err(|refusal| refusal.into_problem(event_id))
}

/// Each event is judged alone. Answered when the broker has every event that was accepted.
#[utoipa::path(
    post,
    path = "/api/metrics/batch",
    tag = "ingest",
    summary = "Posts events of all kinds",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "1 to 255 characters. The same key of the same caller gives events without an event_id the same ids, by which a request sent again is known; with another payload it is refused (422); if batch_id is given too, they must be equal")),
    request_body(content = doc::Batch, content_type = "application/json"),
    responses(
        (status = 202, description = "The log has all events", body = doc::BatchAnswer),
        (status = 207, description = "Some events were rejected, or, waited for, became dead letters", body = doc::BatchAnswer),
        (status = 400, description = "The request has faults", body = doc::BadBatch, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = doc::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller's role may not post (role_not_allowed)", body = doc::Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 10 MiB (payload_too_large), or holds more events than allowed (batch_too_large)", body = doc::Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json, or has a Content-Encoding", body = doc::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The broker is away; try again after Retry-After seconds", body = doc::UnavailableBatch, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn post_batch(
    State(state): State<GatewayState>,
    poster: Poster,
    wait: Wait,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    let key = idempotency_key(&headers)?;
    // A full batch takes tens of milliseconds to judge, too long for a thread that others
    // wait for.
    let judging = state.clone();
    let judged = tokio::task::spawn_blocking(move || entries(&judging.0, &poster, key, &body));
    let (entries, claim) = judged.await.map_err(Problem::internal)??;
    let publisher = &state.0.publisher;
    let mut outcomes = publish_all(publisher, entries, claim).await?;
    count(&outcomes);
    let mut accepted: Vec<_> = outcomes
        .iter_mut()
        .filter_map(|outcome| outcome.result.as_mut().ok())
        .collect();
    let waited = state.0.receipts.settle(&mut accepted, &wait).await;
    Ok(wait.applied(waited, batch_answer(&publisher.topics, &outcomes)))
}

async fn publish_all(
    publisher: &Publisher,
    entries: Vec<Entry>,
    claim: Option<Claim>,
) -> Result<Vec<Outcome>, Problem> {
    let mut records = Vec::new();
    let mut judged = Vec::with_capacity(entries.len());
    for entry in entries {
        let refusal = match entry.outcome {
            Ok(record) => {
                records.push(record);
                None
            }
            Err(refusal) => Some(refusal),
        };
        judged.push((entry.kind, entry.index, entry.event_id, refusal));
    }
    let mut published = publisher.publish(records, claim).await?.into_iter();
    let outcome = |(kind, index, event_id, refusal)| Outcome {
        kind,
        index,
        event_id,
        result: match refusal {
            Some(refusal) => Err(refusal),
            None => published
                .next()
                .expect("a record has an outcome")
                .map(|receipt| Settled {
                    receipt,
                    fate: Fate::Accepted,
                }),
        },
    };
    Ok(judged.into_iter().map(outcome).collect())
}

fn entries(
    shared: &Shared,
    Poster(identity): &Poster,
    key: Option<String>,
    body: &JsonBody,
) -> Result<(Vec<Entry>, Option<Claim>), Problem> {
    let max = shared.max_batch_size;
    let mut batch = Batch::read(body.text()?, max).map_err(|error| batch_problem(error, max))?;
    let key = one_key(key, batch.batch_id.take())?;
    let claim = key
        .as_deref()
        .map(|key| Claim::new(identity, key, "batch", &body.0));
    let ids = EventIds::new(identity, key);
    let judge = shared.judge(identity, batch.timestamp);
    Ok((judge.entries(&batch, &ids), claim))
}

impl Shared {
    fn judge<'a>(&'a self, identity: &'a Identity, timestamp: Option<Timestamp>) -> Judge<'a> {
        let now = Timestamp::try_from(Utc::now()).expect("this is before the year 10000");
        Judge {
            identity,
            schema_ids: &self.schema_ids,
            context: ValidationContext {
                record_time: now,
                retention_seconds: self.retention_seconds,
            },
            timestamp: timestamp.unwrap_or(now),
        }
    }
}

fn batch_problem(error: BatchError, max: usize) -> Problem {
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

fn count(outcomes: &[Outcome]) {
    for outcome in outcomes {
        match &outcome.result {
            Ok(_) => count_accepted(outcome.kind),
            Err(refusal) => count_refused(outcome.kind, refusal.code()),
        }
    }
}

fn count_accepted(kind: EventKind) {
    metrics::counter!(names::EVENTS_ACCEPTED, "kind" => kind.as_str()).increment(1);
}

fn count_refused(kind: EventKind, code: impl Into<metrics::SharedString>) {
    metrics::counter!(names::EVENTS_REFUSED, "kind" => kind.as_str(), "code" => code.into())
        .increment(1);
}
