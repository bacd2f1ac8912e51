//! An accepted event in an answer: alone, and as a result of a batch.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use platform::http::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    book::{Place, Receipt},
    fate::{Fate, Refused},
};

/// The code of an event that admission refused after the log had it.
const DEAD_LETTERED: &str = "dead_lettered";

/// An accepted event with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) receipt: Receipt,
    pub(crate) fate: Fate,
}

/// The event is in the log, and perhaps in the database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The event's id: its own, or the one it was given.
    event_id: Uuid,
    /// `accepted`: the log has it. `stored`, when it was waited for: the database has it.
    #[schema(example = "accepted")]
    status: &'static str,
    /// Where the log has it.
    #[schema(example = "metrics.command-executions")]
    topic: String,
    partition: i32,
    offset: i64,
    /// When the event was stored before: where the record is that counts. This one does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duplicate_of: Option<Place>,
}

impl Accepted {
    fn new(topic: &str, settled: &Settled) -> Self {
        let (status, duplicate_of) = match &settled.fate {
            Fate::Accepted => ("accepted", None),
            Fate::Stored { duplicate_of } => ("stored", *duplicate_of),
            Fate::DeadLettered(_) => (DEAD_LETTERED, None),
        };
        Self {
            event_id: settled.receipt.event_id,
            status,
            topic: topic.to_owned(),
            partition: settled.receipt.place.partition,
            offset: settled.receipt.place.offset,
            duplicate_of,
        }
    }
}

/// The answer to one accepted event: 202, or 200 when it was seen stored. What admission
/// refused is 422: it was taken and yet will never count, and a client that knows no more
/// than the status must not believe it did.
pub(crate) fn single_answer(topic: &str, settled: &Settled) -> Response {
    let status = match &settled.fate {
        Fate::Accepted => StatusCode::ACCEPTED,
        Fate::Stored { .. } => StatusCode::OK,
        Fate::DeadLettered(refused) => return dead_lettered(topic, settled, refused),
    };
    (status, Json(Accepted::new(topic, settled))).into_response()
}

/// The event of a session is in the log, and perhaps in the database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionAccepted {
    /// The session's id: its own, or the one it was given.
    #[schema(min_length = 1, max_length = 255)]
    session_id: String,
    #[serde(flatten)]
    accepted: Accepted,
}

/// The answer to an event of a session, likewise.
pub(crate) fn session_answer(session_id: String, topic: &str, settled: &Settled) -> Response {
    let answer = single_answer(topic, settled);
    if !answer.status().is_success() {
        return answer;
    }
    let accepted = Accepted::new(topic, settled);
    let body = SessionAccepted {
        session_id,
        accepted,
    };
    (answer.status(), Json(body)).into_response()
}

fn dead_lettered(topic: &str, settled: &Settled, refused: &Refused) -> Response {
    let Receipt {
        event_id, place, ..
    } = settled.receipt;
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        DEAD_LETTERED,
        "The event was accepted and then refused; `reason` and `message` say why, and it is kept whole among the dead letters.",
    )
    .member("event_id", event_id.to_string())
    .member("topic", topic)
    .member("partition", place.partition)
    .member("offset", place.offset)
    .member("reason", refused.reason.as_str())
    .member("message", refused.message.as_str())
    .member("stage", refused.stage.as_str())
    .into_response()
}

/// The members of a batch's result for an accepted event.
#[derive(Debug, Serialize)]
pub(crate) struct AcceptedResult<'a> {
    #[serde(flatten)]
    accepted: Accepted,
    #[serde(flatten)]
    refused: Option<RefusedResult<'a>>,
}

#[derive(Debug, Serialize)]
struct RefusedResult<'a> {
    http_status: u16,
    code: &'static str,
    #[serde(flatten)]
    refused: &'a Refused,
}

impl<'a> AcceptedResult<'a> {
    pub(crate) fn new(topic: &str, settled: &'a Settled) -> Self {
        let refused = match &settled.fate {
            Fate::DeadLettered(refused) => Some(RefusedResult {
                http_status: StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
                code: DEAD_LETTERED,
                refused,
            }),
            _ => None,
        };
        Self {
            accepted: Accepted::new(topic, settled),
            refused,
        }
    }
}

/// How many events of a batch came to which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) rejected: usize,
    pub(crate) stored: usize,
    pub(crate) dead_lettered: usize,
}

impl Tally {
    /// Of every event of a batch; `None` for one that was rejected.
    pub(crate) fn of<'a>(settled: impl Iterator<Item = Option<&'a Settled>>) -> Self {
        let mut tally = Self::default();
        for settled in settled {
            match settled.map(|settled| &settled.fate) {
                None => tally.rejected += 1,
                Some(_) => tally.accepted += 1,
            }
            match settled.map(|settled| &settled.fate) {
                Some(Fate::Stored { .. }) => tally.stored += 1,
                Some(Fate::DeadLettered(_)) => tally.dead_lettered += 1,
                _ => {}
            }
        }
        tally
    }

    /// The status of a batch of which something was accepted.
    ///
    /// - 207 when an event was rejected or, waited for, became a dead letter: whoever looks
    ///   at the status alone must look at the results;
    /// - 200 when all are stored: nothing is left to ask;
    /// - 202 when all were accepted and some are not stored yet, or were not waited for.
    pub(crate) fn status(self) -> StatusCode {
        if self.rejected + self.dead_lettered > 0 {
            StatusCode::MULTI_STATUS
        } else if self.accepted > 0 && self.stored == self.accepted {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        }
    }

    /// The body around the results; the counts of what was waited for are always there.
    pub(crate) fn body<R: Serialize>(self, results: &R) -> impl Serialize {
        #[derive(Serialize)]
        struct Body<'r, R> {
            accepted: usize,
            rejected: usize,
            stored: usize,
            dead_lettered: usize,
            results: &'r R,
        }
        Body {
            accepted: self.accepted,
            rejected: self.rejected,
            stored: self.stored,
            dead_lettered: self.dead_lettered,
            results,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use schemas::{EventKind, Timestamp};

    use serde_json::json;

    use super::*;

    fn settled(fate: Fate) -> Settled {
        let now = Timestamp::from_millis(0).unwrap();
        Settled {
            receipt: Receipt {
                kind: EventKind::UserSession,
                event_id: Uuid::nil(),
                organization_id: Uuid::nil(),
                timestamp: now,
                user_id: None,
                team_id: None,
                place: Place {
                    partition: 1,
                    offset: 2,
                },
                accepted_at: now,
            },
            fate,
        }
    }

    fn refused() -> Fate {
        Fate::DeadLettered(Refused {
            reason: "invalid".to_owned(),
            message: "m".to_owned(),
            stage: "aggregator".to_owned(),
        })
    }

    const STORED: Fate = Fate::Stored { duplicate_of: None };

    #[tokio::test]
    async fn a_single_answer_says_where_the_event_is_and_what_became_of_it() {
        let copy = Fate::Stored {
            duplicate_of: Some(Place {
                partition: 1,
                offset: 0,
            }),
        };
        let place = json!({"event_id": Uuid::nil(), "topic": "t", "partition": 1, "offset": 2});
        for (fate, status, more) in [
            (Fate::Accepted, 202, json!({"status": "accepted"})),
            (STORED, 200, json!({"status": "stored"})),
            (
                copy,
                200,
                json!({"status": "stored", "duplicate_of": {"partition": 1, "offset": 0}}),
            ),
            (
                refused(),
                422,
                json!({"code": "dead_lettered", "reason": "invalid", "message": "m", "stage": "aggregator"}),
            ),
        ] {
            let response = single_answer("t", &settled(fate));
            assert_eq!(response.status(), status);
            let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            for expected in [&place, &more] {
                for (name, value) in expected.as_object().unwrap() {
                    assert_eq!(&body[name], value, "{name} of {body}");
                }
            }
        }
    }

    #[test]
    fn the_status_of_a_batch_says_whether_there_is_more_to_know() {
        let (accepted, stored, dead) =
            (settled(Fate::Accepted), settled(STORED), settled(refused()));
        for (events, status) in [
            (vec![Some(&accepted), Some(&accepted)], 202),
            (vec![Some(&stored), Some(&accepted)], 202),
            (vec![Some(&stored), Some(&stored)], 200),
            (vec![Some(&stored), None], 207),
            (vec![Some(&accepted), None], 207),
            (vec![Some(&stored), Some(&dead)], 207),
            (vec![Some(&dead)], 207),
        ] {
            let tally = Tally::of(events.into_iter());
            assert_eq!(tally.status(), status, "{tally:?}");
        }
    }
}
