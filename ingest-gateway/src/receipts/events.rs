//! `GET /api/metrics/events/{event_id}`: where an event is.

use std::{collections::HashSet, time::Duration};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use platform::{
    auth::{Identity, Readable},
    database::DatabaseError,
    http::problem::Problem,
    rate_limit::Class,
};
use schemas::{EventKind, Topics};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    LOOKUP_BOUND, Receipts,
    book::{Place, Receipt},
    fate::Refused,
    lookup::{self, Letter, Row},
};
use crate::gateway::GatewayState;

const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Where an event is. The same id may stand in several kinds, and a refused copy beside the
/// event that counts: a list, with at least one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventAnswer {
    event_id: Uuid,
    /// Whether the database was asked. If not, what is `accepted` may be stored by now.
    storage_checked: bool,
    events: Vec<EventState>,
}

/// A record of the event: which kind, and where in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EventState {
    /// `command_execution`, `agent_interaction`, `productivity_metric` or `user_session`.
    kind: &'static str,
    topic: String,
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    status: EventStatus,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum EventStatus {
    /// The log has it, and the database not yet.
    Accepted {
        /// When the broker acknowledged it.
        #[schema(value_type = String, format = DateTime)]
        accepted_at: String,
    },
    /// The database has it.
    Stored {
        /// Event time.
        #[schema(value_type = String, format = DateTime)]
        timestamp: String,
        /// The record's log time.
        #[schema(value_type = String, format = DateTime)]
        received_at: String,
    },
    /// Admission refused it; `metrics.dead-letters` has it whole.
    DeadLettered {
        #[serde(flatten)]
        refused: Refused,
        /// The record's log time.
        #[schema(value_type = String, format = DateTime)]
        recorded_at: String,
    },
}

/// Says where an event is: in the log (if this instance accepted it within the last hour),
/// in the database, or among the dead letters. Viewers and developers see their own events,
/// managers also those of their teams, admins all; a dead letter's team is known for an
/// hour.
#[utoipa::path(
    get,
    path = "/api/metrics/events/{event_id}",
    tag = "ingest",
    summary = "Where an event is",
    params(("event_id" = Uuid, Path, description = "As the answer to its post said")),
    responses(
        (status = 200, description = "Where it is", body = EventAnswer),
        (status = 400, description = "Not a UUID (invalid_path)", body = platform::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = platform::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Neither stored, nor among the dead letters, nor accepted by this instance within the last hour; or not for the caller to see (event_unknown)", body = platform::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "The organization's limit of reads is used up (rate_limited)", body = platform::http::problem::ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 500, description = "Something failed on our side (internal)", body = platform::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "This instance did not accept it within the last hour, and the database cannot be asked (storage_unknown); or too much is in flight (overloaded), or the tokens' keys cannot be had (keys_unavailable)", body = platform::http::problem::ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn get_event(
    State(state): State<GatewayState>,
    identity: Identity,
    path: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<EventAnswer>, Problem> {
    let Path(event_id) = path?;
    let limiter = &state.0.limiter;
    limiter.admit(&identity, Class::Read, 1).await?;
    let receipts = &state.0.receipts;
    let kept = receipts.book.find(identity.organization_id, event_id);
    let looked = receipts
        .look(identity.organization_id, event_id, &kept)
        .await;
    let storage_checked = looked.is_some();
    let (rows, letters) = looked.unwrap_or_default();
    let events = visible(&identity, &receipts.topics, &kept, &rows, &letters);
    match events.is_empty() {
        false => Ok(Json(EventAnswer {
            event_id,
            storage_checked,
            events,
        })),
        true if storage_checked => Err(unknown()),
        true => Err(Problem::unavailable(
            "storage_unknown",
            "This instance did not accept the event within the last hour, and whether it is stored cannot be told now.",
            RETRY_AFTER,
        )),
    }
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "event_unknown",
        "The event is not stored, not among the dead letters, and was not accepted by this instance within the last hour.",
    )
}

impl Receipts {
    /// What the database has of an event; `None` when it cannot be asked.
    async fn look(
        &self,
        organization_id: Uuid,
        event_id: Uuid,
        kept: &[Receipt],
    ) -> Option<(Vec<Row>, Vec<Letter>)> {
        let database = self.storage.as_ref()?.database()?;
        let looking = async {
            let _turn = self.looking.acquire().await;
            let ids = [event_id];
            let mut transaction = database.begin(organization_id).await?;
            lookup::plan_once(&mut transaction).await?;
            let mut rows = Vec::new();
            for kind in EventKind::ALL {
                rows.extend(lookup::rows_anywhere(&mut transaction, kind, &ids).await?);
            }
            let kept: Vec<_> = kept.iter().collect();
            let mut letters = lookup::letters_of(&mut transaction, &self.topics, &ids).await?;
            // A dead letter that could not be read far enough is known by its place alone.
            let nearby = lookup::letters_at(&mut transaction, &self.topics, &kept).await?;
            letters.extend(nearby.into_iter().filter(|letter| {
                kept.iter()
                    .any(|r| r.kind == letter.kind && r.place == letter.place)
            }));
            transaction.finish();
            Ok::<_, DatabaseError>((rows, letters))
        };
        match timeout(LOOKUP_BOUND, looking).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database cannot be asked for an event");
                None
            }
            Err(_) => {
                tracing::warn!("the database does not say in time where an event is");
                None
            }
        }
    }
}

/// What is known of an event, as far as the caller may see it, each record once.
fn visible(
    identity: &Identity,
    topics: &Topics,
    kept: &[Receipt],
    rows: &[Row],
    letters: &[Letter],
) -> Vec<EventState> {
    let state = |kind: EventKind, place, status| EventState {
        kind: kind.as_str(),
        topic: topics.events(kind),
        place,
        status,
    };
    let readable = Readable::by(identity);
    let mut seen = HashSet::new();
    let mut states = Vec::new();
    for row in rows {
        if readable.covers(row.user_id, row.team_id) && seen.insert((row.kind, row.place)) {
            let status = EventStatus::Stored {
                timestamp: row.timestamp.to_string(),
                received_at: row.received_at.to_string(),
            };
            states.push(state(row.kind, row.place, status));
        }
    }
    for letter in letters {
        let receipt = kept
            .iter()
            .find(|r| r.kind == letter.kind && r.place == letter.place);
        let user = receipt.map_or(letter.user_id, |r| r.user_id);
        let team = receipt.and_then(|r| r.team_id);
        if readable.covers(user, team) && seen.insert((letter.kind, letter.place)) {
            let status = EventStatus::DeadLettered {
                refused: letter.refused.clone(),
                recorded_at: letter.recorded_at.to_string(),
            };
            states.push(state(letter.kind, letter.place, status));
        }
    }
    for receipt in kept {
        // A copy of a stored event has no row of its own and never will.
        let ended = rows.iter().any(|row| row.kind == receipt.kind)
            || letters
                .iter()
                .any(|letter| letter.kind == receipt.kind && letter.place == receipt.place);
        if !ended && readable.covers(receipt.user_id, receipt.team_id) {
            let status = EventStatus::Accepted {
                accepted_at: receipt.accepted_at.to_string(),
            };
            states.push(state(receipt.kind, receipt.place, status));
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use platform::auth::Role;
    use schemas::Timestamp;

    use super::*;

    const ME: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);
    const TEAM: Uuid = Uuid::from_u128(10);
    const COMMAND: EventKind = EventKind::CommandExecution;

    fn identity(role: Role) -> Identity {
        Identity {
            user_id: ME,
            organization_id: Uuid::nil(),
            role,
            team_ids: Some(vec![TEAM]),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).unwrap()
    }

    fn place(offset: i64) -> Place {
        Place {
            partition: 0,
            offset,
        }
    }

    fn receipt(
        kind: EventKind,
        offset: i64,
        user_id: Option<Uuid>,
        team_id: Option<Uuid>,
    ) -> Receipt {
        Receipt {
            kind,
            event_id: Uuid::nil(),
            organization_id: Uuid::nil(),
            timestamp: now(),
            user_id,
            team_id,
            place: place(offset),
            accepted_at: now(),
        }
    }

    fn row(kind: EventKind, offset: i64, user_id: Option<Uuid>, team_id: Option<Uuid>) -> Row {
        Row {
            kind,
            event_id: Uuid::nil(),
            timestamp: now(),
            received_at: now(),
            place: place(offset),
            user_id,
            team_id,
        }
    }

    fn letter(offset: i64, user_id: Option<Uuid>) -> Letter {
        Letter {
            kind: COMMAND,
            topic: "metrics.command-executions".to_owned(),
            place: place(offset),
            user_id,
            refused: Refused {
                reason: "invalid".to_owned(),
                message: "m".to_owned(),
                stage: "aggregator".to_owned(),
            },
            recorded_at: now(),
        }
    }

    fn seen(role: Role, kept: &[Receipt], rows: &[Row], letters: &[Letter]) -> Vec<(String, i64)> {
        visible(&identity(role), &Topics::default(), kept, rows, letters)
            .into_iter()
            .map(|state| {
                let value = serde_json::to_value(&state).unwrap();
                (
                    value["status"].as_str().unwrap().to_owned(),
                    state.place.offset,
                )
            })
            .collect()
    }

    /// The row of the contract's table: viewers and developers their own, managers those of
    /// their teams and their own, admins all.
    #[test]
    fn the_whole_table_of_who_may_see_which_event() {
        for (user, team, expected) in [
            (Some(ME), None, [true, true, true, true]),
            (Some(OTHER), None, [false, false, false, true]),
            (Some(OTHER), Some(TEAM), [false, false, true, true]),
            (Some(OTHER), Some(OTHER), [false, false, false, true]),
            (None, None, [false, false, false, true]),
            (None, Some(TEAM), [false, false, true, true]),
        ] {
            let roles = [Role::Viewer, Role::Developer, Role::Manager, Role::Admin];
            for (role, expected) in roles.into_iter().zip(expected) {
                let what = format!("{role} of {user:?} in {team:?}");
                let rows = [row(COMMAND, 1, user, team)];
                assert_eq!(!seen(role, &[], &rows, &[]).is_empty(), expected, "{what}");
                let kept = [receipt(COMMAND, 1, user, team)];
                assert_eq!(!seen(role, &kept, &[], &[]).is_empty(), expected, "{what}");
                let letters = [letter(1, user)];
                assert_eq!(
                    !seen(role, &kept, &[], &letters).is_empty(),
                    expected,
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn each_record_is_told_of_once_and_by_its_latest_state() {
        let mine = |offset| receipt(COMMAND, offset, Some(ME), None);
        let stored = |offset| row(COMMAND, offset, Some(ME), None);
        let told = |kept: &[Receipt], rows: &[Row], letters: &[Letter]| {
            seen(Role::Viewer, kept, rows, letters)
        };
        let is = |status: &str, offset| (status.to_owned(), offset);
        assert_eq!(told(&[mine(1)], &[], &[]), [is("accepted", 1)]);
        assert_eq!(told(&[mine(1)], &[stored(1)], &[]), [is("stored", 1)]);
        assert_eq!(
            told(&[mine(2)], &[stored(1)], &[]),
            [is("stored", 1)],
            "a copy"
        );
        let letters = [letter(1, Some(ME)), letter(1, Some(ME))];
        assert_eq!(told(&[mine(1)], &[], &letters), [is("dead_lettered", 1)]);
        assert_eq!(
            told(&[mine(2)], &[stored(1)], &[letter(2, Some(ME))]),
            [is("stored", 1), is("dead_lettered", 2)]
        );
        let session = receipt(EventKind::UserSession, 5, Some(ME), None);
        assert_eq!(
            told(&[mine(1), session], &[stored(1)], &[]),
            [is("stored", 1), is("accepted", 5)]
        );
    }

    #[test]
    fn a_managers_dead_letter_is_its_teams_while_the_receipt_is_kept() {
        let kept = [receipt(COMMAND, 1, Some(OTHER), Some(TEAM))];
        assert_eq!(
            seen(Role::Manager, &kept, &[], &[letter(1, Some(OTHER))]).len(),
            1
        );
        assert!(seen(Role::Manager, &[], &[], &[letter(1, Some(OTHER))]).is_empty());
    }

    #[test]
    fn an_answer_is_flat() {
        let states = visible(
            &identity(Role::Admin),
            &Topics::new("p."),
            &[],
            &[],
            &[letter(3, None)],
        );
        assert_eq!(
            serde_json::to_value(&states).unwrap(),
            serde_json::json!([{
                "kind": "command_execution", "status": "dead_lettered",
                "topic": "p.metrics.command-executions", "partition": 0, "offset": 3,
                "reason": "invalid", "message": "m", "stage": "aggregator",
                "recorded_at": "2027-01-15T08:00:00Z",
            }])
        );
    }
}
