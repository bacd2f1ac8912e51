//! What is to be exported.

use platform::auth::Readable;
use schemas::{Fault, Timestamp, event::EventKind};
use uuid::Uuid;

use crate::{
    events::{
        params::{Filter, Given, names},
        position::{Direction, Position},
        reader::Wanted,
    },
    params::Params,
};

/// The kinds by the names of their lists.
pub(crate) const KINDS: [(&str, EventKind); 4] = [
    ("commands", EventKind::CommandExecution),
    ("agents", EventKind::AgentInteraction),
    ("productivity", EventKind::ProductivityMetric),
    ("sessions", EventKind::UserSession),
];

/// How long before now an export ends by default: what happened later may still be on its way
/// to the database.
const SETTLING_SECONDS: i64 = 5;

/// Rows of a slice, one transaction each: some megabytes for the database to sort.
const ROWS_OF_SLICE: usize = 20_000;

/// Rows read at once. Of the largest events they are ten megabytes.
const ROWS_AT_ONCE: usize = 250;

/// An export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) filter: Filter,
    pub(super) range: (Timestamp, Timestamp),
    /// What was received before.
    after: Option<Position>,
}

impl Query {
    /// Reads the decoded pairs of a query string.
    ///
    /// # Errors
    /// All faults together, each at the parameter's name.
    pub(super) fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, Vec<Fault>> {
        let given = pairs.iter().find(|(name, _)| name == "kind");
        let found = given.and_then(|(_, value)| KINDS.iter().find(|(name, _)| name == value));
        // Which parameters there are depends on the kind; of none, all of the first.
        let kind = found.map_or(EventKind::CommandExecution, |(_, kind)| *kind);
        let mut params = Params::new(pairs, &parameters(kind));
        if found.is_none() {
            let known = KINDS.map(|(name, _)| name).join(", ");
            params.fault("kind", "enum", format!("must be one of {known}"));
        }
        let given = Given::read(&mut params);
        let filter = Filter::read(&mut params, kind);
        let after = params.optional("cursor", "format");
        let range = given.range(&mut params, now.saturating_add_seconds(-SETTLING_SECONDS));
        params.faults.or_value(Self {
            filter,
            range,
            after,
        })
    }

    /// What to read for a caller.
    pub(super) fn wanted(&self, organization_id: Uuid, readable: Readable) -> Wanted {
        Wanted {
            organization_id,
            readable,
            filter: self.filter.clone(),
            range: self.range,
            direction: Direction::OldestFirst,
            after: self.after,
            rows_of_slice: ROWS_OF_SLICE,
            rows_at_once: ROWS_AT_ONCE,
            most: None,
        }
    }

    /// The kind, as it was asked for.
    pub(super) fn kind(&self) -> &'static str {
        let kind = KINDS.iter().find(|(_, kind)| *kind == self.filter.kind);
        kind.map_or("events", |(name, _)| name)
    }
}

/// The names of an export's parameters.
pub(crate) fn parameters(kind: EventKind) -> Vec<&'static str> {
    names(kind, &["kind", "cursor"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Query, Vec<(String, &'static str)>> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let parsed = Query::parse(&owned, "2026-03-01T12:00:05Z".parse().unwrap());
        parsed.map_err(|faults| faults.into_iter().map(|f| (f.pointer, f.code)).collect())
    }

    #[test]
    fn by_default_it_is_the_day_until_a_moment_ago() {
        for (name, kind) in KINDS {
            let query = parse(&[("kind", name)]).unwrap();
            assert_eq!((query.filter.kind, query.kind()), (kind, name));
            assert_eq!(query.range.0.to_string(), "2026-02-28T12:00:00Z");
            assert_eq!(query.range.1.to_string(), "2026-03-01T12:00:00Z");
        }
    }

    #[test]
    fn every_fault_is_said_at_once() {
        let found = parse(&[("limit", "5"), ("cursor", "x"), ("status", "done")]);
        let expected = [
            ("/limit", "unknown_parameter"),
            ("/kind", "enum"),
            ("/status", "enum"),
            ("/cursor", "format"),
        ];
        let expected = expected.map(|(at, code)| (at.to_owned(), code));
        assert_eq!(found, Err(expected.to_vec()));
        let twice = parse(&[("kind", "agents"), ("kind", "commands")]);
        assert_eq!(twice, Err(vec![("/kind".to_owned(), "duplicate")]));
    }
}
