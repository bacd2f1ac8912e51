//! What the calls of events have in common: a kind, a range, filters.

use schemas::{Fault, Timestamp, event::EventKind, event::SessionKind, event::Status};
use uuid::Uuid;

use crate::params::Params;

/// How far back the default range reaches.
const DEFAULT_RANGE_SECONDS: i64 = 86_400;

/// The longest filter or search, in characters.
const MAX_TEXT: usize = 500;

/// The names of the parameters that every kind has.
const COMMON: [&str; 5] = ["start_date", "end_date", "user_id", "team_id", "project_id"];

/// The names of those that a kind has besides.
fn own(kind: EventKind) -> &'static [&'static str] {
    match kind {
        EventKind::CommandExecution => &["status", "name", "q"],
        EventKind::AgentInteraction => &["status", "name", "model", "q"],
        EventKind::ProductivityMetric => &["name"],
        EventKind::UserSession => &["status", "name"],
    }
}

/// The names of a kind's parameters, and of `more`.
pub(crate) fn names(kind: EventKind, more: &[&'static str]) -> Vec<&'static str> {
    [&COMMON, own(kind), more].concat()
}

/// Which events are asked for. An absent member is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) kind: EventKind,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) team_id: Option<Uuid>,
    pub(crate) project_id: Option<Uuid>,
    /// Of a session what its event says.
    pub(crate) status: Option<&'static str>,
    /// Of the command, agent, metric type or session.
    pub(crate) name: Option<String>,
    pub(crate) model: Option<String>,
    /// For the full-text search.
    pub(crate) q: Option<String>,
}

impl Filter {
    /// Reads what the kind has of them; faults are left in `params`.
    pub(crate) fn read(params: &mut Params<'_>, kind: EventKind) -> Self {
        Self {
            kind,
            user_id: params.id("user_id"),
            team_id: params.id("team_id"),
            project_id: params.id("project_id"),
            status: status(params, kind),
            name: text(params, "name"),
            model: text(params, "model"),
            q: text(params, "q"),
        }
    }
}

fn status(params: &mut Params<'_>, kind: EventKind) -> Option<&'static str> {
    let given = params.get("status")?;
    let known: Vec<&str> = match kind {
        EventKind::UserSession => SESSION_KINDS.map(SessionKind::as_str).to_vec(),
        _ => Status::ALL.map(Status::as_str).to_vec(),
    };
    let found = known.iter().find(|status| **status == given).copied();
    if found.is_none() {
        params.fault(
            "status",
            "enum",
            format!("must be one of {}", known.join(", ")),
        );
    }
    found
}

const SESSION_KINDS: [SessionKind; 3] = [
    SessionKind::Started,
    SessionKind::Updated,
    SessionKind::Ended,
];

fn text(params: &mut Params<'_>, name: &str) -> Option<String> {
    let given = params.get(name)?;
    if given.trim().is_empty() || given.chars().count() > MAX_TEXT {
        let message = format!("must be a text of 1 to {MAX_TEXT} characters");
        params.fault(name, "length", message);
    } else if given.contains('\0') {
        // PostgreSQL has no text with it.
        params.fault(name, "format", "must not hold U+0000");
    }
    Some(given.to_owned())
}

/// A range as it is given; what is absent follows from what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
}

impl Given {
    /// Reads it; faults are left in `params`.
    pub(crate) fn read(params: &mut Params<'_>) -> Self {
        Self {
            start: params.optional("start_date", "format"),
            end: params.optional("end_date", "format"),
        }
    }

    /// From the start on and before the end: by default the day that ends at `now`. A range
    /// without any time is left as a fault.
    pub(crate) fn range(self, params: &mut Params<'_>, now: Timestamp) -> (Timestamp, Timestamp) {
        let end = self.end.unwrap_or(now);
        let day_before = end.saturating_add_seconds(-DEFAULT_RANGE_SECONDS);
        let start = self.start.unwrap_or(day_before);
        let faults = &mut params.faults;
        if start >= end && !faults.is_at("/start_date") && !faults.is_at("/end_date") {
            match self.start {
                Some(_) => faults.push("/start_date", "range", "must be before end_date"),
                None => faults.push("/end_date", "range", "leaves no time before it"),
            }
        }
        (start, end)
    }
}

/// A search with no word in it.
pub(crate) fn nothing_to_search() -> Vec<Fault> {
    vec![Fault {
        pointer: "/q".to_owned(),
        code: "format",
        message: "must have a word to search for".into(),
    }]
}
