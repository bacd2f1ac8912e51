//! `POST /api/metrics/dead-letters/replay`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use platform::{
    auth::Identity,
    http::problem::{Problem, ProblemBody},
    lifecycle::Shutdown,
};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::{sync::Mutex, time::timeout};
use tracing::{info, warn};
use utoipa::ToSchema;

use super::{
    replay_request::read,
    replayer::{Replay, ReplayFailure, ReplayGroup, Replayed, Replayer},
};
use crate::{openapi::BadQuery, openapi::ReplayBody, params::problem, service::AppState};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/dead-letters/replay";

/// How long a replay may take. What is left is sent by the next.
const BOUND: Duration = Duration::from_secs(20);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The way to the log, one replay at a time.
#[derive(Clone)]
pub(crate) struct Replays(Option<Arc<Mutex<Arc<dyn Replayer>>>>);

impl Replays {
    pub(crate) fn new(replayer: Option<Arc<dyn Replayer>>) -> Self {
        Self(replayer.map(|replayer| Arc::new(Mutex::new(replayer))))
    }

    /// Replays, to the end also when nobody waits any more.
    async fn run(&self, request: Replay) -> Result<Replayed, Problem> {
        let replayer = self.0.as_ref().ok_or_else(no_log)?;
        let held = Arc::clone(replayer).try_lock_owned();
        let held = held.map_err(|_| busy("A replay is running here already; wait for its end."))?;
        let running = tokio::spawn(async move {
            let stop = Shutdown::new();
            let mut replay = held.replay(request, stop.clone());
            if let Ok(done) = timeout(BOUND, &mut replay).await {
                return done;
            }
            stop.trigger();
            replay.await
        });
        let done = running.await.map_err(Problem::internal)?;
        done.map_err(|failure| match failure {
            ReplayFailure::TakenOver => busy("Another replay has begun, and this one ended."),
            ReplayFailure::Stopped => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "replay_timeout",
                "The dead letters could not be read in time; give a later `from`. Nothing was sent.",
            ),
            ReplayFailure::Log(error) => {
                warn!(error = format!("{error:#}"), "a replay failed");
                Problem::unavailable(
                    "kafka_unavailable",
                    "Kafka is away or failed; the same request goes on where this one ended.",
                    RETRY_AFTER,
                )
            }
        })
    }
}

fn busy(detail: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "replay_running", detail)
}

fn no_log() -> Problem {
    Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "replay_not_configured",
        "This service was started without KAFKA_BROKERS and cannot send records.",
    )
}

/// What became of a replay.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayAnswer {
    /// Whether nothing was to be sent.
    dry_run: bool,
    /// Open letters that were, or would be, sent again.
    matched: usize,
    /// Letters whose record is in its topic again.
    replayed: usize,
    /// What was matched, the largest group first.
    groups: Vec<ReplayedGroup>,
    /// Open letters that cannot be sent again: their topic holds no events, or they are cut.
    not_replayable: Vec<ReplayedGroup>,
    /// Letters that Kafka did not take; they are open still.
    skipped: Vec<SkippedLetter>,
    /// Letters that retention removed meanwhile.
    gone: usize,
    /// Whether time was up before the end: the same request goes on with the rest.
    interrupted: bool,
}

/// Letters with the same reason, client and topic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedGroup {
    reason: String,
    /// `unknown` when the records do not say.
    client: String,
    topic: String,
    count: usize,
}

/// A letter that was not sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SkippedLetter {
    /// Where its record was.
    id: String,
    /// Why, for people.
    message: String,
}

/// Send refused records again
///
/// Each once, however often this is asked: a letter is marked in the Kafka transaction that
/// sends its record again. The record is then judged anew, and may be refused again. Of the
/// organization's own letters; one replay at a time. For administrators.
#[utoipa::path(
    post,
    path = PATH,
    tag = "operations",
    request_body = ReplayBody,
    responses(
        (status = 200, description = "What was sent, or with `dry_run` would be.", body = ReplayAnswer),
        (status = 400, description = "`malformed_json`, or `invalid_query`: every fault of the body, in `errors`.", body = BadQuery, content_type = "application/problem+json"),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`role_not_allowed`: administrators alone may.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`replay_running`: here, or another took this one's place.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not `application/json`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the same request passes after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "`internal`: logged under the id in `instance`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "`replay_not_configured`: this service has no Kafka.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`kafka_unavailable`, or `keys_unavailable` to verify tokens with: the same request may succeed after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "`replay_timeout`: give a later `from`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn replay(
    State(state): State<AppState>,
    identity: Identity,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Json<ReplayAnswer>, Problem> {
    crate::operations::admit(&state, &identity).await?;
    let Json(body) = body?;
    let request = read(&body, identity.organization_id).map_err(problem)?;
    let dry_run = request.dry_run;
    let done = state.operations.replays.run(request).await?;
    if !dry_run {
        // Who did it is worth a line of its own.
        let (organization, user) = (identity.organization_id, identity.user_id);
        info!(%organization, %user, matched = done.matched, replayed = done.replayed, "dead letters were replayed");
    }
    Ok(Json(answer(done, dry_run)))
}

fn answer(done: Replayed, dry_run: bool) -> ReplayAnswer {
    let groups = |groups: Vec<ReplayGroup>| {
        let group = |group: ReplayGroup| ReplayedGroup {
            reason: group.reason,
            client: group.client,
            topic: group.topic,
            count: group.count,
        };
        groups.into_iter().map(group).collect()
    };
    let skipped = |(position, message): (schemas::dead_letter::Position, String)| SkippedLetter {
        id: position.to_string(),
        message,
    };
    ReplayAnswer {
        dry_run,
        matched: done.matched,
        replayed: done.replayed,
        groups: groups(done.groups),
        not_replayable: groups(done.not_replayable),
        skipped: done.refused.into_iter().map(skipped).collect(),
        gone: done.gone,
        interrupted: done.interrupted,
    }
}
