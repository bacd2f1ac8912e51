//! The pages of a list: what is asked for, and how a page is filled.

use std::time::Duration;

use platform::auth::{Identity, Readable};
use schemas::{Fault, Timestamp, event::EventKind};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    cursor::Cursor,
    params::{Filter, Given, names},
    position::{Direction, Position},
    reader::{Reader, Step, Wanted},
    value::Row,
};
use crate::{failure::QueryFailure, params::Params};

/// The most events of a page.
pub(super) const MAX_LIMIT: usize = 1000;
/// The events of a page when nobody says.
pub(super) const DEFAULT_LIMIT: usize = 100;

/// A page has no more bytes than about these, since an event may have tens of thousands.
const MAX_BYTES: usize = 8 << 20;
/// Rows read at once.
const AT_ONCE: usize = 200;
/// A page that takes longer is answered as far as it is filled, also with nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) filter: Filter,
    pub(super) range: (Timestamp, Timestamp),
    pub(super) limit: usize,
    /// What was answered before.
    pub(super) after: Option<Position>,
    fingerprint: Uuid,
}

impl Query {
    /// Reads the decoded pairs of a query string.
    pub(super) fn parse(
        kind: EventKind,
        pairs: &[(String, String)],
        now: Timestamp,
    ) -> Result<Self, Vec<Fault>> {
        let mut params = Params::new(pairs, &parameters(kind));
        let given = Given::read(&mut params);
        let filter = Filter::read(&mut params, kind);
        let limit = params.whole_number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT);
        let cursor = cursor(&mut params);
        let fingerprint = fingerprint(given, &filter);
        let range = match &cursor {
            // A made-up one may hold anything; then there is nothing in its range.
            Some(cursor) => (cursor.start, cursor.end),
            None => given.range(&mut params, now),
        };
        // Of a query with faults it cannot be said whether the cursor belongs to it.
        if params.faults.is_empty()
            && cursor
                .as_ref()
                .is_some_and(|cursor| cursor.fingerprint != fingerprint)
        {
            params.fault("cursor", "cursor_of_another_query",
                "belongs to another query: send it with the parameters of the page before; only limit may differ");
        }
        params.faults.or_value(Self {
            filter,
            range,
            limit,
            after: cursor.map(|cursor| cursor.position),
            fingerprint,
        })
    }

    /// What to read for a caller.
    pub(super) fn wanted(&self, identity: &Identity) -> Wanted {
        Wanted {
            organization_id: identity.organization_id,
            readable: Readable::by(identity),
            filter: self.filter.clone(),
            range: self.range,
            direction: Direction::NewestFirst,
            after: self.after,
            rows_of_slice: self.limit,
            rows_at_once: AT_ONCE.min(self.limit + 1),
            most: Some(self.limit + 1),
        }
    }

    /// Where the page after goes on.
    pub(super) fn cursor(&self, position: Position) -> String {
        let cursor = Cursor {
            fingerprint: self.fingerprint,
            start: self.range.0,
            end: self.range.1,
            position,
        };
        cursor.encode()
    }
}

/// The names of a list's parameters.
pub(crate) fn parameters(kind: EventKind) -> Vec<&'static str> {
    names(kind, &["limit", "cursor"])
}

fn cursor(params: &mut Params<'_>) -> Option<Cursor> {
    let cursor = Cursor::decode(params.get("cursor")?);
    if cursor.is_none() {
        params.fault(
            "cursor",
            "format",
            "is not a cursor of this service: send next_cursor as it was answered",
        );
    }
    cursor
}

/// The same for the same rows. The limit is not part of it, since pages may differ in length.
fn fingerprint(given: Given, filter: &Filter) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6a0e_7b1d_04c5_4e0b_8f3e_52d9_3c1a_b7e4);
    Uuid::new_v5(&NAMESPACE, format!("{given:?} {filter:?}").as_bytes())
}

/// The rows of a page, and where the next one goes on, if there may be more.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<Position>,
}

/// Fills a page: with as many rows as it may have, or those that were found when its time or
/// its bytes were used up.
pub(super) async fn fill(
    reader: &mut Reader,
    limit: usize,
    patience: Duration,
) -> Result<Page, QueryFailure> {
    let (deadline, begun) = (Instant::now() + patience, reader.reached());
    let mut rows: Vec<Row> = Vec::new();
    let mut bytes = 0;
    loop {
        match reader.next().await? {
            Step::End => return Ok(Page { rows, next: None }),
            Step::Nothing => {}
            Step::Rows(found) => {
                for row in found {
                    if rows.len() == limit || bytes > MAX_BYTES {
                        let next = rows.last().map(|row| row.position);
                        return Ok(Page { rows, next });
                    }
                    bytes += row.size();
                    rows.push(row);
                }
            }
        }
        let reached = reader.reached();
        if Instant::now() > deadline && reached != begun {
            return Ok(Page {
                rows,
                next: Some(reached),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: EventKind, pairs: &[(&str, &str)]) -> Result<Query, Vec<Fault>> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Query::parse(kind, &owned, "2026-03-01T12:00:00Z".parse().unwrap())
    }

    fn faults(kind: EventKind, pairs: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let faults = parse(kind, pairs).unwrap_err();
        faults.iter().map(|f| (f.pointer.clone(), f.code)).collect()
    }

    #[test]
    fn nothing_asks_for_the_last_day() {
        for kind in EventKind::ALL {
            let query = parse(kind, &[]).unwrap();
            assert_eq!(query.range.0.to_string(), "2026-02-28T12:00:00Z");
            assert_eq!(query.range.1.to_string(), "2026-03-01T12:00:00Z");
            assert_eq!((query.limit, query.after), (100, None));
        }
    }

    #[test]
    fn every_fault_is_said_at_once() {
        let long = "x".repeat(501);
        let found = faults(
            EventKind::AgentInteraction,
            &[
                ("start_date", "yesterday"),
                ("end_date", "2026-01-01"),
                ("user_id", "me"),
                ("team_id", "1"),
                ("project_id", ""),
                ("status", "done"),
                ("name", ""),
                ("model", "a\0"),
                ("q", &long),
                ("limit", "1001"),
                ("cursor", "?"),
                ("organization_id", "x"),
            ],
        );
        let expected = [
            ("/organization_id", "unknown_parameter"),
            ("/start_date", "format"),
            ("/end_date", "format"),
            ("/user_id", "format"),
            ("/team_id", "format"),
            ("/project_id", "format"),
            ("/status", "enum"),
            ("/name", "length"),
            ("/model", "format"),
            ("/q", "length"),
            ("/limit", "range"),
            ("/cursor", "format"),
        ];
        assert_eq!(found, expected.map(|(at, code)| (at.to_owned(), code)));
    }

    #[test]
    fn a_kind_has_its_own_parameters() {
        let unknown = |name: &str| vec![(format!("/{name}"), "unknown_parameter")];
        for (kind, name) in [
            (EventKind::CommandExecution, "model"),
            (EventKind::ProductivityMetric, "status"),
            (EventKind::ProductivityMetric, "q"),
            (EventKind::UserSession, "q"),
        ] {
            assert_eq!(faults(kind, &[(name, "success")]), unknown(name));
        }
        let sessions = parse(EventKind::UserSession, &[("status", "ended")]).unwrap();
        assert_eq!(sessions.filter.status, Some("ended"));
        let wrong = [("status", "success")];
        assert_eq!(
            faults(EventKind::UserSession, &wrong),
            [("/status".into(), "enum")]
        );
    }

    #[test]
    fn a_cursor_goes_on_in_its_own_query_and_range_alone() {
        let kind = EventKind::CommandExecution;
        let first = parse(kind, &[("status", "error")]).unwrap();
        let position = Position {
            at: first.range.0,
            place: None,
        };
        let cursor = first.cursor(position);
        let next = parse(
            kind,
            &[("status", "error"), ("limit", "7"), ("cursor", &cursor)],
        );
        let next = next.unwrap();
        assert_eq!((next.range, next.after), (first.range, Some(position)));
        for (kind, pairs) in [
            (kind, &[][..]),
            (kind, &[("status", "timeout")]),
            (kind, &[("status", "error"), ("q", "x")]),
            (EventKind::AgentInteraction, &[("status", "error")]),
        ] {
            let pairs = [pairs, &[("cursor", cursor.as_str())]].concat();
            assert_eq!(
                faults(kind, &pairs),
                [("/cursor".to_owned(), "cursor_of_another_query")],
                "{pairs:?}"
            );
        }
    }
}
