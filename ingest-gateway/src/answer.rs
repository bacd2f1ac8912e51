//! What a request is answered with when its events had their outcomes.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use platform::http::problem::{FieldError, Problem};
use schemas::EventKind;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    posted::Form,
    refusal::{RETRY_AFTER, Refusal},
};

/// The event is stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Accepted)]
pub(crate) struct Accepted {
    /// The event's id: its own, or the one it was given.
    event_id: Uuid,
    #[schema(inline)]
    status: AcceptedStatus,
}

/// The session's event is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionAccepted {
    /// The session's id: its own, or the one it was given.
    #[schema(min_length = 1, max_length = 255)]
    session_id: String,
    /// The event's id: its own, or the one it was given.
    event_id: Uuid,
    #[schema(inline)]
    status: AcceptedStatus,
}

/// Always the same.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AcceptedStatus {
    Accepted,
}

/// 202 for one event.
pub(crate) fn accepted(event_id: Uuid) -> (StatusCode, Json<Accepted>) {
    let status = AcceptedStatus::Accepted;
    (StatusCode::ACCEPTED, Json(Accepted { event_id, status }))
}

/// 202 for an event of a session.
pub(crate) fn session_accepted(
    session_id: String,
    event_id: Uuid,
) -> (StatusCode, Json<SessionAccepted>) {
    let answer = SessionAccepted {
        session_id,
        event_id,
        status: AcceptedStatus::Accepted,
    };
    (StatusCode::ACCEPTED, Json(answer))
}

/// What came of one of many events.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) form: Form,
    pub(crate) kind: Option<EventKind>,
    pub(crate) index: usize,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) refusal: Option<Refusal>,
}

#[derive(Serialize)]
struct EventResult {
    index: usize,
    kind: Option<&'static str>,
    event_id: Option<Uuid>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl From<&Outcome> for EventResult {
    fn from(outcome: &Outcome) -> Self {
        let refusal = outcome.refusal.as_ref();
        Self {
            index: outcome.index,
            kind: outcome.kind.map(EventKind::as_str),
            event_id: outcome.event_id,
            status: if refusal.is_none() {
                "accepted"
            } else {
                "rejected"
            },
            http_status: refusal.map(|r| r.status().as_u16()),
            code: refusal.map(Refusal::code),
            errors: refusal.map(|r| r.errors(outcome.form)).unwrap_or_default(),
        }
    }
}

/// The answer to a batch. When nothing was accepted it is a problem, with the same members.
pub(crate) fn batch_answer(outcomes: &[Outcome]) -> Response {
    let results: Vec<_> = outcomes.iter().map(EventResult::from).collect();
    let accepted = outcomes.iter().filter(|o| o.refusal.is_none()).count();
    let rejected = outcomes.len() - accepted;
    let problem = match accepted {
        // Of nothing, all is accepted.
        0 if rejected > 0 => nothing_accepted(outcomes),
        _ => {
            let status = if rejected == 0 {
                StatusCode::ACCEPTED
            } else {
                StatusCode::MULTI_STATUS
            };
            let body = json!({"accepted": accepted, "rejected": rejected, "results": results});
            return (status, Json(body)).into_response();
        }
    };
    problem
        .member("accepted", 0)
        .member("rejected", rejected)
        .member("results", json!(results))
        .into_response()
}

/// Asks for a retry as soon as one event is worth it: a client that knows no more than the
/// status must not give up sound events because others beside them are not.
fn nothing_accepted(outcomes: &[Outcome]) -> Problem {
    let refusals = || outcomes.iter().filter_map(|o| o.refusal.as_ref());
    if let Some(away) = refusals().find(|refusal| refusal.is_transient()) {
        let detail = "No event could be confirmed as stored. Send the batch again, with the same batch_id or the event_ids in `results`.";
        return Problem::unavailable(away.code(), detail, RETRY_AFTER);
    }
    if refusals().any(|refusal| *refusal == Refusal::Internal) {
        return Problem::internal(anyhow::anyhow!(
            "the events of a batch could not be written"
        ));
    }
    Problem::bad_request(
        "no_event_accepted",
        "No event of the batch was accepted; `results` says why for each.",
    )
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use platform::auth::Denied;
    use serde_json::Value;

    use super::*;

    async fn fold(refusals: &[Option<Refusal>]) -> (u16, Option<String>, Value) {
        let outcomes: Vec<_> = refusals
            .iter()
            .enumerate()
            .map(|(index, refusal)| Outcome {
                form: Form::Plain,
                kind: Some(EventKind::UserSession),
                index,
                event_id: Some(Uuid::nil()),
                refusal: refusal.clone(),
            })
            .collect();
        let response = batch_answer(&outcomes);
        let retry = response.headers().get("retry-after").cloned();
        (
            response.status().as_u16(),
            retry.map(|value| value.to_str().unwrap().to_owned()),
            serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap())
                .unwrap(),
        )
    }

    #[tokio::test]
    async fn the_status_follows_from_what_was_accepted() {
        let bad = || Some(Refusal::Duplicate);
        let denied = || Some(Refusal::Denied(Denied::NotAsItself));
        let away = || Some(Refusal::Unavailable);
        for (refusals, status, code) in [
            (vec![None, None], 202, None),
            (vec![None, bad()], 207, None),
            (vec![None, away()], 207, None),
            (vec![bad(), denied()], 400, Some("no_event_accepted")),
            (vec![away(), away()], 503, Some("broker_unavailable")),
            (
                vec![bad(), Some(Refusal::QueueFull)],
                503,
                Some("queue_full"),
            ),
            (vec![Some(Refusal::Internal)], 500, Some("internal")),
        ] {
            let (got, retry, body) = fold(&refusals).await;
            assert_eq!((got, body["code"].as_str()), (status, code), "{refusals:?}");
            assert_eq!(retry.is_some(), status == 503);
            let accepted = refusals.iter().filter(|r| r.is_none()).count();
            assert_eq!(body["accepted"], accepted);
            assert_eq!(body["rejected"], refusals.len() - accepted);
            assert_eq!(body["results"].as_array().unwrap().len(), refusals.len());
        }
    }

    #[tokio::test]
    async fn a_result_says_what_to_do_with_its_event() {
        let (_, _, body) = fold(&[None, Some(Refusal::Denied(Denied::NotYourTeam))]).await;
        let id = Uuid::nil();
        assert_eq!(
            body["results"],
            json!([
                {"index": 0, "kind": "user_session", "event_id": id, "status": "accepted"},
                {"index": 1, "kind": "user_session", "event_id": id, "status": "rejected",
                 "http_status": 403, "code": "not_your_team",
                 "errors": [{"pointer": "/team_id", "code": "not_your_team",
                             "message": "You may only post events for teams you belong to."}]},
            ])
        );
    }
}
