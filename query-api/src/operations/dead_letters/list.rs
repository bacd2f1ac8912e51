//! `GET /api/metrics/dead-letters`.

use axum::{
    Json,
    extract::{Query as QueryString, State, rejection::QueryRejection},
};
use chrono::{DateTime, SecondsFormat, Utc};
use platform::{
    auth::Identity,
    clock,
    http::problem::{Problem, ProblemBody},
};
use schemas::{Timestamp, dead_letter::Position};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

#[cfg(test)]
pub(crate) use super::params::NAMES as PARAMETERS;
use super::{
    cursor::Place,
    params::Query,
    store::{self, GroupRow, LetterRow, MOST_GROUPS},
};
use crate::{
    failure::QueryFailure,
    openapi::{BadQuery, DeadLettersParams},
    params::problem,
    service::AppState,
    timing,
};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/dead-letters";

/// Refused records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetters {
    /// The range's start, as given or by default.
    #[schema(format = DateTime)]
    start_date: String,
    /// The range's end, likewise.
    #[schema(format = DateTime)]
    end_date: String,
    /// All letters of the range by what they have in common, the largest group first, at most
    /// 100; only with the first page.
    groups: Vec<DeadLetterGroup>,
    /// Whether there are more groups.
    more_groups: bool,
    /// A page of letters, the latest first.
    data: Vec<DeadLetter>,
    /// To be sent as `cursor` for the next page; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// How long the query took, in milliseconds.
    query_time_ms: f64,
}

/// Letters with the same reason, client and topic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterGroup {
    /// Why, as a code.
    #[schema(example = "unknown_schema")]
    reason: String,
    /// The program the records came from; null when they do not say.
    #[schema(required = true)]
    client: Option<String>,
    /// The topic they were refused from.
    topic: String,
    /// How many.
    count: i64,
    /// How many of these were sent again.
    replayed: i64,
    /// When the log took the first of them.
    #[schema(format = DateTime)]
    first_at: String,
    /// When it took the last.
    #[schema(format = DateTime)]
    last_at: String,
}

/// A refused record, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    /// Where the record was: topic, partition and offset.
    #[schema(example = "metrics.command-executions/2/1187")]
    id: String,
    /// The topic it was refused from.
    topic: String,
    /// The partition there.
    partition: i32,
    /// The offset there.
    offset: i64,
    /// Which stage refused it.
    stage: String,
    /// Why, as a code.
    reason: String,
    /// Why, for people.
    message: String,
    /// The program it came from; null when it does not say.
    #[schema(required = true)]
    client: Option<String>,
    /// Which event it is; null when it could not be read that far.
    #[schema(required = true)]
    event_id: Option<Uuid>,
    /// When the log took it.
    #[schema(format = DateTime)]
    failed_at: String,
    /// When it was sent again; null while it is open.
    #[schema(format = DateTime, required = true)]
    replayed_at: Option<String>,
    /// Its key, as text; null without one.
    #[schema(required = true)]
    key: Option<String>,
    /// The length of its value; null without one.
    #[schema(required = true)]
    value_bytes: Option<i32>,
}

/// Refused records of the organization
///
/// In groups and one by one, the latest first. Records whose organization could not be read
/// are nobody's, and are not among them. For administrators.
#[utoipa::path(
    get,
    path = PATH,
    tag = "operations",
    params(DeadLettersParams),
    responses(
        (status = 200, description = "Groups, and a page of letters.", body = DeadLetters),
        (status = 400, description = "`invalid_query`: every fault of the parameters, in `errors`.", body = BadQuery, content_type = "application/problem+json"),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`role_not_allowed`: administrators alone may.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the same request passes after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "`internal`: logged under the id in `instance`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`database_unavailable`, or `keys_unavailable` to verify tokens with: the same request may succeed after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "`query_timeout`: ask for a shorter range.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn dead_letters(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<DeadLetters>, Problem> {
    crate::operations::admit(&state, &identity).await?;
    let QueryString(pairs) = pairs?;
    let query = Query::parse(&pairs, clock::now()).map_err(problem)?;
    let read = async {
        let mut transaction = state.database.begin(identity.organization_id).await?;
        let groups = match query.after {
            None => store::groups(&mut transaction, &query.filter).await?,
            Some(_) => Vec::new(),
        };
        let page = store::page(&mut transaction, &query).await?;
        transaction.finish();
        Ok((groups, page))
    };
    let ((groups, page), elapsed) = timing::bounded("dead_letters", state.slow_query, read).await?;
    Ok(Json(answer(&query, groups, page, timing::millis(elapsed))?))
}

fn answer(
    query: &Query,
    groups: Vec<GroupRow>,
    mut page: Vec<LetterRow>,
    query_time_ms: f64,
) -> Result<DeadLetters, QueryFailure> {
    let more = page.len() > query.limit;
    page.truncate(query.limit);
    let last = page.last().filter(|_| more).map(place).transpose()?;
    Ok(DeadLetters {
        start_date: query.filter.start.to_string(),
        end_date: query.filter.end.to_string(),
        more_groups: groups.len() > MOST_GROUPS,
        groups: groups.into_iter().take(MOST_GROUPS).map(group).collect(),
        data: page.into_iter().map(letter).collect(),
        next_cursor: last.map(|place| query.cursor_after(place).encode()),
        query_time_ms,
    })
}

fn place(row: &LetterRow) -> Result<Place, QueryFailure> {
    let failed_at = Timestamp::try_from(row.failed_at);
    Ok(Place {
        failed_at: failed_at.map_err(|_| QueryFailure::Malformed("recorded_at"))?,
        partition: row.letter_partition,
        offset: row.letter_offset,
    })
}

fn group(row: GroupRow) -> DeadLetterGroup {
    DeadLetterGroup {
        reason: row.reason,
        client: row.client,
        topic: row.topic,
        count: row.count,
        replayed: row.replayed,
        first_at: instant(row.first_at),
        last_at: instant(row.last_at),
    }
}

fn letter(row: LetterRow) -> DeadLetter {
    let position = Position {
        topic: row.topic,
        partition: row.partition,
        offset: row.offset,
    };
    DeadLetter {
        id: position.to_string(),
        topic: position.topic,
        partition: row.partition,
        offset: row.offset,
        stage: row.stage,
        reason: row.reason,
        message: row.message,
        client: row.client,
        event_id: row.event_id,
        failed_at: instant(row.failed_at),
        replayed_at: row.replayed_at.map(instant),
        key: row
            .key
            .map(|key| String::from_utf8_lossy(&key).into_owned()),
        value_bytes: row.value_bytes,
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
