//! Raw events: `GET /api/metrics/commands`, `/agents`, `/productivity` and `/sessions`.
//!
//! ```text
//! list, params ─▶ Wanted ─▶ reader: slices of time ─▶ statement ─▶ rows ─▶ page
//! ```
//!
//! Exports read the same way ([`crate::export`]), oldest first.

pub(crate) mod columns;
mod cursor;
pub(crate) mod describe;
mod list;
pub(crate) mod params;
pub(crate) mod position;
pub(crate) mod reader;
mod search;
mod slices;
mod statement;
pub(crate) mod value;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query as QueryString, State, rejection::QueryRejection},
    routing::get,
};
use platform::{auth::Identity, clock, http::problem::Problem, rate_limit::Class};
use schemas::event::EventKind;
use serde::{Serialize, Serializer, ser::SerializeSeq};

#[cfg(test)]
pub(crate) use self::list::parameters;
use self::{
    columns::Column,
    list::{PATIENCE, Page, Query},
    params::nothing_to_search,
    reader::Reader,
};
use crate::{failure::QueryFailure, params::problem, service::AppState, timing};

/// The paths, which the gateway has for posting.
pub(crate) const COMMANDS: &str = "/api/metrics/commands";
pub(crate) const AGENTS: &str = "/api/metrics/agents";
pub(crate) const PRODUCTIVITY: &str = "/api/metrics/productivity";
pub(crate) const SESSIONS: &str = "/api/metrics/sessions";

/// The routes.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route(COMMANDS, get(commands))
        .route(AGENTS, get(agents))
        .route(PRODUCTIVITY, get(productivity))
        .route(SESSIONS, get(sessions))
}

/// The decoded pairs of a query string, if it is one.
pub(crate) type Pairs = Result<QueryString<Vec<(String, String)>>, QueryRejection>;

/// Command executions
///
/// Newest first, in pages. Viewers and developers read their own events, managers those of
/// the teams that the token lists too, admins all of the organization. A page may be shorter
/// than its limit and have a `next_cursor` all the same: then nothing more was found up to
/// there in the time that a page has.
#[utoipa::path(
    get,
    path = COMMANDS,
    tag = "events",
    params(describe::Common, describe::OfCommands, describe::Paging),
    responses((status = 200, description = "A page of events.", body = describe::Commands), describe::Refusals),
    security(("bearer" = []))
)]
pub(crate) async fn commands(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Pairs,
) -> Result<Json<Answer>, Problem> {
    list_page(EventKind::CommandExecution, &state, &identity, pairs).await
}

/// Agent interactions
///
/// In pages, and with rights, as command executions.
#[utoipa::path(
    get,
    path = AGENTS,
    tag = "events",
    params(describe::Common, describe::OfAgents, describe::Paging),
    responses((status = 200, description = "A page of events.", body = describe::Agents), describe::Refusals),
    security(("bearer" = []))
)]
pub(crate) async fn agents(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Pairs,
) -> Result<Json<Answer>, Problem> {
    list_page(EventKind::AgentInteraction, &state, &identity, pairs).await
}

/// Productivity metrics
///
/// In pages, and with rights, as command executions. One without a user is nobody's own.
#[utoipa::path(
    get,
    path = PRODUCTIVITY,
    tag = "events",
    params(describe::Common, describe::OfMetrics, describe::Paging),
    responses((status = 200, description = "A page of events.", body = describe::Productivity), describe::Refusals),
    security(("bearer" = []))
)]
pub(crate) async fn productivity(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Pairs,
) -> Result<Json<Answer>, Problem> {
    list_page(EventKind::ProductivityMetric, &state, &identity, pairs).await
}

/// Session events
///
/// Starts, updates and ends of sessions, in pages, and with rights, as command executions.
#[utoipa::path(
    get,
    path = SESSIONS,
    tag = "events",
    params(describe::Common, describe::OfSessions, describe::Paging),
    responses((status = 200, description = "A page of events.", body = describe::Sessions), describe::Refusals),
    security(("bearer" = []))
)]
pub(crate) async fn sessions(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Pairs,
) -> Result<Json<Answer>, Problem> {
    list_page(EventKind::UserSession, &state, &identity, pairs).await
}

async fn list_page(
    kind: EventKind,
    state: &AppState,
    identity: &Identity,
    pairs: Pairs,
) -> Result<Json<Answer>, Problem> {
    state.limiter.admit(identity, Class::Read, 1).await?;
    let QueryString(pairs) = pairs?;
    let query = Query::parse(kind, &pairs, clock::now()).map_err(problem)?;

    let wanted = query.wanted(identity);
    let read = async {
        let Some(mut reader) = Reader::start(state.database.clone(), wanted).await? else {
            return Ok(None);
        };
        let page = list::fill(&mut reader, query.limit, PATIENCE).await?;
        Ok::<_, QueryFailure>(Some((reader.columns(), page)))
    };
    let (read, elapsed) = timing::bounded(name(kind), state.slow_query, read).await?;
    let (columns, page) = read.ok_or_else(|| problem(nothing_to_search()))?;
    Ok(Json(Answer::of(&query, columns, page, elapsed)))
}

/// The query's name in metrics and in the log.
fn name(kind: EventKind) -> &'static str {
    kind.plural()
}

/// A page, as it is answered; described by the types of [`describe`].
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    start_date: String,
    end_date: String,
    data: Events,
    next_cursor: Option<String>,
    query_time_ms: f64,
}

impl Answer {
    fn of(query: &Query, columns: Arc<[Column]>, page: Page, elapsed: Duration) -> Self {
        Self {
            start_date: query.range.0.to_string(),
            end_date: query.range.1.to_string(),
            data: Events {
                columns,
                rows: page.rows,
            },
            next_cursor: page.next.map(|position| query.cursor(position)),
            query_time_ms: timing::millis(elapsed),
        }
    }
}

/// Rows, as a list of objects.
#[derive(Debug)]
struct Events {
    columns: Arc<[Column]>,
    rows: Vec<value::Row>,
}

impl Serialize for Events {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            list.serialize_element(&row.named(&self.columns))?;
        }
        list.end()
    }
}

/// The offsets of all pages of a list, each with so much patience.
#[cfg(test)]
pub(crate) async fn pages_in(
    patience: Duration,
    kind: EventKind,
    pairs: &[(&str, &str)],
    database: &platform::database::TenantDb,
    identity: &Identity,
) -> Vec<Vec<i64>> {
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut pages = Vec::new();
    loop {
        let query = Query::parse(kind, &pairs, clock::now()).unwrap();
        let reader = Reader::start(database.clone(), query.wanted(identity)).await;
        let mut reader = reader.unwrap().unwrap();
        let page = list::fill(&mut reader, query.limit, patience)
            .await
            .unwrap();
        let place = |row: &value::Row| row.position.place.unwrap().offset;
        pages.push(page.rows.iter().map(place).collect());
        let Some(next) = page.next else {
            return pages;
        };
        pairs.retain(|(name, _)| name != "cursor");
        pairs.push(("cursor".to_owned(), query.cursor(next)));
    }
}
