//! Which letters are meant, read with all faults at once.

use schemas::{Fault, Timestamp};
use uuid::Uuid;

use super::cursor::{Cursor, Place};
use crate::params::Params;

const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;
/// How far back the default range reaches.
const DEFAULT_RANGE_SECONDS: i64 = 7 * 86_400;

/// The parameters' names.
pub(crate) const NAMES: [&str; 8] = [
    "start_date",
    "end_date",
    "reason",
    "topic",
    "client",
    "state",
    "limit",
    "cursor",
];

/// What has been done about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Replayed,
    All,
}

/// The letters that are meant. All filters must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// Refused records taken by the log at this instant or later.
    pub(super) start: Timestamp,
    /// Refused records taken by the log before this instant.
    pub(super) end: Timestamp,
    pub(super) reason: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) client: Option<Client>,
    pub(super) state: State,
}

/// Which program a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Client {
    /// It did not say.
    Unknown,
    Named(String),
    /// All that begin so.
    Beginning(String),
}

/// What is asked for, once nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) filter: Filter,
    pub(super) limit: usize,
    pub(super) after: Option<Place>,
    fingerprint: Uuid,
}

impl Query {
    /// Reads the decoded pairs of a query string.
    ///
    /// # Errors
    /// All faults together.
    pub(super) fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, Vec<Fault>> {
        let mut params = Params::new(pairs, &NAMES);
        let given_start = params.optional::<Timestamp>("start_date", "format");
        let given_end = params.optional::<Timestamp>("end_date", "format");
        let reason = text(&mut params, "reason", is_code, "must be a reason's code");
        let topic = text(&mut params, "topic", is_topic, "must be a topic's name");
        let client = text(&mut params, "client", is_client, "must be a client's name");
        let state = state(&mut params);
        let limit = params.whole_number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT);
        let cursor = params.get("cursor").map(Cursor::decode);
        if cursor == Some(None) {
            params.fault("cursor", "format", "is not a cursor of this service");
        }
        let cursor = cursor.flatten();

        let mut filter = Filter {
            // For the fingerprint, as they were given.
            start: given_start.unwrap_or(Timestamp::MIN),
            end: given_end.unwrap_or(Timestamp::MAX),
            reason,
            topic,
            client: client.map(Client::of),
            state,
        };
        let fingerprint = fingerprint(&filter);
        filter.end = given_end.unwrap_or(now);
        let back = filter.end.saturating_add_seconds(-DEFAULT_RANGE_SECONDS);
        filter.start = given_start.unwrap_or(back);
        if let Some(cursor) = cursor {
            (filter.start, filter.end) = (cursor.start, cursor.end);
            if cursor.fingerprint != fingerprint && params.faults.is_empty() {
                let message = "belongs to another query; only limit may differ";
                params.fault("cursor", "cursor_of_another_query", message);
            }
        } else if filter.start >= filter.end && params.faults.is_empty() {
            params.fault("start_date", "range", "must be before end_date");
        }
        params.faults.or_value(Self {
            filter,
            limit,
            after: cursor.map(|cursor| cursor.after),
            fingerprint,
        })
    }

    /// Where the letters after this one go on.
    pub(super) fn cursor_after(&self, after: Place) -> Cursor {
        Cursor {
            fingerprint: self.fingerprint,
            start: self.filter.start,
            end: self.filter.end,
            after,
        }
    }
}

impl Client {
    fn of(text: String) -> Self {
        match text.strip_suffix('*') {
            Some(beginning) => Self::Beginning(beginning.to_owned()),
            None if text == "unknown" => Self::Unknown,
            None => Self::Named(text),
        }
    }
}

fn fingerprint(filter: &Filter) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x0d9c_6f11_36a2_4c0e_8f53_7be1_90a4_d28c);
    Uuid::new_v5(&NAMESPACE, format!("{filter:?}").as_bytes())
}

fn text(
    params: &mut Params<'_>,
    name: &str,
    is_one: fn(&str) -> bool,
    message: &'static str,
) -> Option<String> {
    let text = params.get(name)?;
    if !is_one(text) {
        params.fault(name, "pattern", message);
    }
    Some(text.to_owned())
}

fn state(params: &mut Params<'_>) -> State {
    match params.get("state") {
        None | Some("all") => State::All,
        Some("open") => State::Open,
        Some("replayed") => State::Replayed,
        Some(_) => {
            params.fault("state", "enum", "must be one of open, replayed, all");
            State::All
        }
    }
}

pub(super) fn is_code(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
}

/// As Kafka allows it.
pub(super) fn is_topic(text: &str) -> bool {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&text.len()) && text.bytes().all(named)
}

pub(super) fn is_client(text: &str) -> bool {
    (1..=101).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)], now: &str) -> Result<Query, Vec<Fault>> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let pairs: Vec<_> = pairs.iter().map(pair).collect();
        Query::parse(&pairs, now.parse().unwrap())
    }

    const NOW: &str = "2026-03-08T00:00:00Z";

    #[test]
    fn nothing_asks_for_the_last_week() {
        let query = parse(&[], NOW).unwrap();
        assert_eq!(query.filter.start.to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(query.filter.end.to_string(), NOW);
        assert_eq!(query.limit, DEFAULT_LIMIT);
        assert_eq!(query.filter.state, State::All);
    }

    #[test]
    fn every_fault_is_said_at_once() {
        let faults = parse(
            &[
                ("start_date", "soon"),
                ("reason", "a\u{0}b"),
                ("topic", "a b"),
                ("client", "\u{7}"),
                ("state", "lost"),
                ("limit", "0"),
                ("cursor", "?"),
                ("organization_id", "x"),
            ],
            NOW,
        )
        .unwrap_err();
        let codes: Vec<_> = faults.iter().map(|f| (&*f.pointer, f.code)).collect();
        assert_eq!(
            codes,
            [
                ("/organization_id", "unknown_parameter"),
                ("/start_date", "format"),
                ("/reason", "pattern"),
                ("/topic", "pattern"),
                ("/client", "pattern"),
                ("/state", "enum"),
                ("/limit", "range"),
                ("/cursor", "format"),
            ]
        );
    }

    #[test]
    fn a_cursor_goes_on_in_its_own_query_and_range_alone() {
        let query = parse(&[("reason", "invalid")], NOW).unwrap();
        let after = Place {
            failed_at: query.filter.start,
            partition: 1,
            offset: 2,
        };
        let cursor = query.cursor_after(after).encode();
        let later = "2026-03-09T00:00:00Z";
        let next = parse(&[("reason", "invalid"), ("cursor", &cursor)], later).unwrap();
        assert_eq!((next.filter, next.after), (query.filter, Some(after)));
        let faults = parse(&[("cursor", &cursor)], later).unwrap_err();
        assert_eq!(faults[0].code, "cursor_of_another_query");
    }

    #[test]
    fn a_client_is_named_or_begins_so_or_is_unknown() {
        for (text, client) in [
            ("hook/1.2", Client::Named("hook/1.2".into())),
            ("hook/*", Client::Beginning("hook/".into())),
            ("unknown", Client::Unknown),
        ] {
            let query = parse(&[("client", text)], NOW).unwrap();
            assert_eq!(query.filter.client, Some(client));
        }
    }
}
