//! The way of posted events to their acknowledgement: [`one`] is the only place where a
//! single event is judged and published, [`many`] the only one for several.

use axum::response::Response;
use chrono::Utc;
use platform::{auth::Identity, http::problem::Problem, telemetry::names};
use schemas::{EventKind, Timestamp, event::ValidationContext};
use uuid::Uuid;

use crate::{
    answer::{Outcome, batch_answer},
    gateway::{GatewayState, Shared},
    posted::Posted,
    prepare::{Entry, Judge},
    publish::Publisher,
};

/// Publishes the event that `read` takes from the request, and gives its id. `kind` is what
/// the call takes, if it takes one kind only.
pub(crate) async fn one<'a>(
    shared: &Shared,
    identity: &Identity,
    kind: Option<EventKind>,
    read: impl FnOnce() -> Result<Posted<'a>, Problem>,
) -> Result<Uuid, Problem> {
    let posted = read();
    let kind = posted.as_ref().ok().and_then(|p| p.kind).or(kind);
    let answer = match posted {
        Ok(posted) => publish(shared, identity, &posted).await,
        Err(problem) => Err(problem),
    };
    match &answer {
        Ok(_) => count_accepted(kind),
        Err(problem) => count_refused(kind, problem.code().to_owned()),
    }
    answer
}

async fn publish(
    shared: &Shared,
    identity: &Identity,
    posted: &Posted<'_>,
) -> Result<Uuid, Problem> {
    let record = shared
        .judge(identity, None)
        .record(posted)
        .map_err(|refusal| refusal.into_problem(None))?;
    let event_id = record.event_id;
    let outcomes = shared.publisher.publish(vec![record]).await;
    for outcome in outcomes {
        outcome.map_err(|refusal| refusal.into_problem(Some(event_id)))?;
    }
    Ok(event_id)
}

/// Publishes the events that `read` takes from the request and judges, each alone, and
/// answers when the broker has every event that was accepted.
pub(crate) async fn many(
    state: GatewayState,
    read: impl FnOnce(&Shared) -> Result<Vec<Entry>, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    // A full batch takes tens of milliseconds to judge, too long for a thread that others
    // wait for.
    let judging = state.clone();
    let judged = tokio::task::spawn_blocking(move || read(&judging.0)).await;
    let entries = judged.map_err(Problem::internal)??;
    let outcomes = publish_all(&state.0.publisher, entries).await;
    for outcome in &outcomes {
        match &outcome.refusal {
            None => count_accepted(outcome.kind),
            Some(refusal) => count_refused(outcome.kind, refusal.code()),
        }
    }
    Ok(batch_answer(&outcomes))
}

async fn publish_all(publisher: &Publisher, entries: Vec<Entry>) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(entries.len());
    let mut records = Vec::new();
    let mut published = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        let refusal = match entry.outcome {
            Ok(record) => {
                records.push(record);
                published.push(at);
                None
            }
            Err(refusal) => Some(refusal),
        };
        outcomes.push(Outcome {
            form: entry.form,
            kind: entry.kind,
            index: entry.index,
            event_id: entry.event_id,
            refusal,
        });
    }
    let deliveries = publisher.publish(records).await;
    for (at, delivery) in published.into_iter().zip(deliveries) {
        outcomes[at].refusal = delivery.err();
    }
    outcomes
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
    Timestamp::try_from(Utc::now()).expect("this is before the year 10000")
}

/// The label of events whose kind is not known.
const UNKNOWN: &str = "unknown";

fn count_accepted(kind: Option<EventKind>) {
    let kind = kind.map_or(UNKNOWN, EventKind::as_str);
    metrics::counter!(names::EVENTS_ACCEPTED, "kind" => kind).increment(1);
}

fn count_refused(kind: Option<EventKind>, code: impl Into<metrics::SharedString>) {
    let kind = kind.map_or(UNKNOWN, EventKind::as_str);
    metrics::counter!(names::EVENTS_REFUSED, "kind" => kind, "code" => code.into()).increment(1);
}
