//! What a request is answered with when its events had their outcomes.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use platform::http::problem::{FieldError, Problem};
use schemas::EventKind;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    posted::Form,
    receipts::{AcceptedResult, Settled, Tally},
    refusal::{RETRY_AFTER, Refusal},
};

/// What came of one of many events.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) form: Form,
    pub(crate) kind: Option<EventKind>,
    pub(crate) index: usize,
    pub(crate) event_id: Option<Uuid>,
    /// Its receipt and what is known of it, or why it was not accepted.
    pub(crate) result: Result<Settled, Refusal>,
}

impl Outcome {
    fn refusal(&self) -> Option<&Refusal> {
        self.result.as_ref().err()
    }
}

#[derive(Serialize)]
struct EventResult<'a> {
    index: usize,
    kind: Option<&'static str>,
    #[serde(flatten)]
    result: ResultMembers<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ResultMembers<'a> {
    Accepted(AcceptedResult<'a>),
    Rejected {
        event_id: Option<Uuid>,
        status: &'static str,
        http_status: u16,
        code: &'static str,
        errors: Vec<FieldError>,
    },
}

impl<'a> EventResult<'a> {
    fn new(topics: &[String; 4], outcome: &'a Outcome) -> Self {
        let result = match &outcome.result {
            Ok(settled) => {
                let topic = &topics[settled.receipt.kind as usize];
                ResultMembers::Accepted(AcceptedResult::new(topic, settled))
            }
            Err(refusal) => ResultMembers::Rejected {
                event_id: outcome.event_id,
                status: "rejected",
                http_status: refusal.status().as_u16(),
                code: refusal.code(),
                errors: refusal.errors(outcome.form),
            },
        };
        Self {
            index: outcome.index,
            kind: outcome.kind.map(EventKind::as_str),
            result,
        }
    }
}

/// The answer to a batch. When nothing was accepted it is a problem, with the same members.
pub(crate) fn batch_answer(topics: &[String; 4], outcomes: &[Outcome]) -> Response {
    let results: Vec<_> = outcomes
        .iter()
        .map(|outcome| EventResult::new(topics, outcome))
        .collect();
    let tally = Tally::of(outcomes.iter().map(|outcome| outcome.result.as_ref().ok()));
    // Of nothing, all is accepted.
    if tally.accepted > 0 || tally.rejected == 0 {
        return (tally.status(), Json(tally.body(&results))).into_response();
    }
    nothing_accepted(outcomes)
        .member("accepted", 0)
        .member("rejected", tally.rejected)
        .member("results", json!(results))
        .into_response()
}

/// Asks for a retry as soon as one event is worth it: a client that knows no more than the
/// status must not give up sound events because others beside them are not.
fn nothing_accepted(outcomes: &[Outcome]) -> Problem {
    let refusals = || outcomes.iter().filter_map(Outcome::refusal);
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
    use schemas::{Timestamp, event::Common};
    use serde_json::Value;

    use super::*;
    use crate::receipts::{Fate, Place, Receipt};

    fn accepted() -> Settled {
        let now = Timestamp::from_millis(0).unwrap();
        let event = Common {
            event_id: Uuid::nil(),
            organization_id: Uuid::nil(),
            timestamp: now,
            user_id: None,
            team_id: None,
            project_id: None,
        };
        let place = Place {
            partition: 3,
            offset: 44,
        };
        Settled {
            receipt: Receipt::new(EventKind::UserSession, &event, place, now),
            fate: Fate::Accepted,
        }
    }

    async fn fold(refusals: &[Option<Refusal>]) -> (u16, Option<String>, Value) {
        let outcomes: Vec<_> = refusals
            .iter()
            .enumerate()
            .map(|(index, refusal)| Outcome {
                form: Form::Plain,
                kind: Some(EventKind::UserSession),
                index,
                event_id: Some(Uuid::nil()),
                result: refusal.clone().map_or_else(|| Ok(accepted()), Err),
            })
            .collect();
        let topics = EventKind::ALL.map(|kind| kind.topic().to_owned());
        let response = batch_answer(&topics, &outcomes);
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
                {"index": 0, "kind": "user_session", "event_id": id, "status": "accepted",
                 "topic": "user-sessions", "partition": 3, "offset": 44},
                {"index": 1, "kind": "user_session", "event_id": id, "status": "rejected",
                 "http_status": 403, "code": "not_your_team",
                 "errors": [{"pointer": "/team_id", "code": "not_your_team",
                             "message": "You may only post events for teams you belong to."}]},
            ])
        );
    }
}
