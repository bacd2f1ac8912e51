//! The way of posted events to their acknowledgement: [`one`] is the only place where a
//! single event is judged and published, [`many`] the only one for several.

use axum::response::Response;
use platform::{
    auth::Identity,
    http::{notes, problem::Problem},
    rate_limit::Class,
    telemetry::names,
};
use schemas::{EventKind, Timestamp, event::ValidationContext};

use crate::{
    answer::{Outcome, batch_answer},
    gateway::{GatewayState, Shared},
    idempotency::Claim,
    posted::Posted,
    prepare::{Entry, Judge},
    publish::Publisher,
    receipts::{Fate, Receipt, Settled, Wait},
    refusal::Refusal,
    request::{JsonBody, Poster},
};

/// A larger body is judged in a thread of its own: a full batch takes milliseconds, too long for
/// one that others wait for. This takes a tenth of one, and the way there and back as much again.
const JUDGED_IN_PLACE: usize = 32 << 10;

/// What a call takes from its request: what to judge, and the claim to its key if it has one.
pub(crate) type Read<T> = Result<(T, Option<Claim>), Problem>;

/// Publishes the event that `read` takes from the request, waits as the request asks, and
/// has `answer` made of the event's topic and what is known of it. `kind` is what the call
/// takes, if it takes one kind only.
pub(crate) async fn one<'a>(
    shared: &Shared,
    poster: &Poster,
    kind: Option<EventKind>,
    wait: &Wait,
    read: impl FnOnce() -> Read<Posted<'a>>,
    answer: impl FnOnce(&str, &Settled) -> Response,
) -> Result<Response, Problem> {
    shared
        .limiter
        .admit(&poster.identity, Class::Single, 1)
        .await?;
    let posted = read();
    let kind = posted.as_ref().ok().and_then(|(p, _)| p.kind).or(kind);
    let published = match posted {
        Ok((posted, claim)) => publish(shared, poster, &posted, claim).await,
        Err(problem) => Err(problem),
    };
    match &published {
        Ok(_) => count_accepted(kind, 1),
        Err(problem) => count_refused(kind, problem.code().to_owned()),
    }
    notes::events(published.is_ok().into(), published.is_err().into());
    let mut settled = Settled {
        receipt: published?,
        fate: Fate::Accepted,
    };
    let waited = shared.receipts.settle(&mut [&mut settled], wait).await;
    let topic = &shared.publisher.topics[settled.receipt.kind as usize];
    Ok(wait.applied(waited, answer(topic, &settled)))
}

async fn publish(
    shared: &Shared,
    poster: &Poster,
    posted: &Posted<'_>,
    claim: Option<Claim>,
) -> Result<Receipt, Problem> {
    let record = shared
        .judge(&poster.identity, None)
        .record(posted)
        .map_err(|refusal| refusal.into_problem(None))?;
    let event_id = record.event_id;
    let client = poster.client.as_deref();
    let mut outcomes = shared
        .publisher
        .publish(vec![record], client, claim)
        .await?;
    let outcome = outcomes.pop().expect("a record has an outcome");
    outcome.map_err(|refusal| refusal.into_problem(Some(event_id)))
}

/// Publishes the events that `read` takes from the request's `body` and judges, each alone, and
/// answers when the broker has every event that was accepted.
pub(crate) async fn many(
    state: GatewayState,
    poster: &Poster,
    wait: &Wait,
    body: JsonBody,
    read: impl FnOnce(&Shared, &JsonBody) -> Read<Vec<Entry>> + Send + 'static,
) -> Result<Response, Problem> {
    let read = if body.bytes().len() <= JUDGED_IN_PLACE {
        let read = read(&state.0, &body);
        // Its memory is somebody else's while the broker is waited for.
        drop(body);
        read
    } else {
        let judging = state.clone();
        let judged = tokio::task::spawn_blocking(move || read(&judging.0, &body)).await;
        judged.map_err(Problem::internal)?
    };
    let shared = &state.0;
    // What cannot be read counts as one event, or it could be sent without end.
    let cost = read.as_ref().map_or(1, |(entries, _)| entries.len());
    shared
        .limiter
        .admit(&poster.identity, Class::Batch, cost)
        .await?;
    let (entries, claim) = read?;
    let mut outcomes =
        publish_all(&shared.publisher, entries, poster.client.as_deref(), claim).await?;
    for kind in EventKind::ALL.map(Some) {
        let accepted = |outcome: &&Outcome| outcome.kind == kind && outcome.result.is_ok();
        match outcomes.iter().filter(accepted).count() {
            0 => {}
            count => count_accepted(kind, count),
        }
    }
    for outcome in &outcomes {
        if let Err(refusal) = &outcome.result {
            count_refused(outcome.kind, refusal.code());
        }
    }
    let mut accepted: Vec<_> = outcomes
        .iter_mut()
        .filter_map(|outcome| outcome.result.as_mut().ok())
        .collect();
    let waited = shared.receipts.settle(&mut accepted, wait).await;
    let accepted = accepted.len();
    notes::events(accepted as u64, (outcomes.len() - accepted) as u64);
    let answer = batch_answer(&shared.publisher.topics, &outcomes);
    Ok(wait.applied(waited, answer))
}

async fn publish_all(
    publisher: &Publisher,
    entries: Vec<Entry>,
    client: Option<&str>,
    claim: Option<Claim>,
) -> Result<Vec<Outcome>, Problem> {
    let mut records = Vec::new();
    let mut judged = Vec::with_capacity(entries.len());
    for entry in entries {
        let refusal = entry.outcome.map(|record| records.push(record)).err();
        judged.push((entry.form, entry.kind, entry.index, entry.event_id, refusal));
    }
    let mut published = publisher.publish(records, client, claim).await?.into_iter();
    let outcome = |(form, kind, index, event_id, refusal): (_, _, _, _, Option<Refusal>)| Outcome {
        form,
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

impl Shared {
    /// What the events of a request are judged by; `timestamp` is the time of those that
    /// name none, if it is not now.
    pub(crate) fn judge<'a>(
        &'a self,
        identity: &'a Identity,
        timestamp: Option<Timestamp>,
    ) -> Judge<'a> {
        let now = now();
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

/// The time of receipt.
pub(crate) fn now() -> Timestamp {
    platform::clock::now()
}

/// The label of events whose kind is not known.
const UNKNOWN: &str = "unknown";

fn count_accepted(kind: Option<EventKind>, events: usize) {
    let kind = kind.map_or(UNKNOWN, EventKind::as_str);
    metrics::counter!(names::EVENTS_ACCEPTED, "kind" => kind).increment(events as u64);
}

fn count_refused(kind: Option<EventKind>, code: impl Into<metrics::SharedString>) {
    let kind = kind.map_or(UNKNOWN, EventKind::as_str);
    metrics::counter!(names::EVENTS_REFUSED, "kind" => kind, "code" => code.into()).increment(1);
}
