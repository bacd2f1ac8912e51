//! The query string of `/aggregated`, read with all its faults at once.

use std::sync::Arc;

use schemas::{Fault, Faults, Timestamp, Window, rollup::SeriesKind};
use uuid::Uuid;

use super::{
    cursor::Cursor,
    group::{Filter, GroupBy, Key},
};
use crate::params::Params;

/// The most rows of a page.
pub(crate) const MAX_LIMIT: usize = 10_000;
/// The rows of a page when nobody says.
pub(crate) const DEFAULT_LIMIT: usize = 1000;
/// The most metric types in one filter.
const MAX_METRIC_TYPES: usize = 64;
/// How far back the default range reaches.
const DEFAULT_RANGE_SECONDS: i64 = 86_400;

/// The parameters' names.
pub(crate) const NAMES: [&str; 10] = [
    "start_date",
    "end_date",
    "user_id",
    "team_id",
    "project_id",
    "aggregation_window",
    "group_by",
    "metric_types",
    "limit",
    "cursor",
];

/// What is asked for, once nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) window: Window,
    pub(crate) group_by: GroupBy,
    /// Buckets count that start at or after the start of the window holding `start`,
    /// and before `end`.
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) filter: Filter,
    pub(crate) limit: usize,
    /// The last row of the page before.
    pub(crate) after: Option<(Timestamp, Key)>,
    fingerprint: Uuid,
}

impl Query {
    /// Reads the decoded pairs of a query string.
    ///
    /// # Errors
    /// All faults together, each at the parameter's name.
    pub(crate) fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, Vec<Fault>> {
        let mut params = Params::new(pairs, &NAMES);
        let given_start = params.optional::<Timestamp>("start_date", "format");
        let given_end = params.optional::<Timestamp>("end_date", "format");
        let filter = Filter {
            user_id: params.id("user_id"),
            team_id: params.id("team_id"),
            project_id: params.id("project_id"),
            metric_types: metric_types(&mut params),
        };
        let window = params.optional::<Window>("aggregation_window", "enum");
        let group_by = params.optional::<GroupBy>("group_by", "enum");
        let limit = limit(&mut params);
        let cursor = cursor(&mut params);

        let window = window.unwrap_or(Window::H1);
        let group_by = group_by.unwrap_or(GroupBy::None);
        if filter.metric_types.is_some() && !group_by.holds(SeriesKind::Metric) {
            params.faults.push(
                "/metric_types",
                "conflict",
                "has no meaning when rows are grouped by command or agent",
            );
        }
        let fingerprint = fingerprint(window, group_by, given_start, given_end, &filter);
        let (start, end) = match &cursor {
            Some(cursor) => (cursor.start, cursor.end),
            None => {
                let end = given_end.unwrap_or(now);
                let day_before = end.saturating_add_seconds(-DEFAULT_RANGE_SECONDS);
                (given_start.unwrap_or(day_before), end)
            }
        };
        let faults = &mut params.faults;
        if let Some(cursor) = &cursor {
            // Of a query with faults it cannot be said whether the cursor belongs to it.
            if faults.is_empty() {
                check_cursor(cursor, fingerprint, group_by, faults);
            }
        } else if start >= end && !faults.is_at("/start_date") && !faults.is_at("/end_date") {
            match given_start {
                Some(_) => faults.push("/start_date", "range", "must be before end_date"),
                None => faults.push("/end_date", "range", "leaves no time before it"),
            }
        }
        params.faults.or_value(Self {
            window,
            group_by,
            start,
            end,
            filter,
            limit,
            after: cursor.map(|cursor| (cursor.bucket_start, cursor.key)),
            fingerprint,
        })
    }

    /// Where the rows after this one go on.
    pub(crate) fn cursor_after(&self, bucket_start: Timestamp, key: Key) -> Cursor {
        Cursor {
            fingerprint: self.fingerprint,
            start: self.start,
            end: self.end,
            bucket_start,
            key,
        }
    }

    /// The same for the same answer. Of a range that ends now by default, only its buckets
    /// count: so an answer that is kept says a slightly earlier end, and has the same rows.
    pub(crate) fn canonical(&self) -> Arc<str> {
        let last = Timestamp::from_micros(self.end.micros() - 1).unwrap_or(self.end);
        let buckets = Self {
            start: self.window.start(self.start),
            end: self.window.start(last),
            ..self.clone()
        };
        // With the fingerprint, which holds a range that was given as it was.
        format!("{buckets:?}").into()
    }

    /// Whether the values of metrics add up: those of different types do not.
    pub(crate) fn adds_values(&self) -> bool {
        let one_type = |types: &Vec<String>| types.len() == 1;
        self.group_by == GroupBy::MetricType
            || self.filter.metric_types.as_ref().is_some_and(one_type)
    }
}

const NOT_A_CURSOR: &str = "is not a cursor of this service: send next_cursor as it was answered";

/// Another query's position would silently skip or repeat rows.
fn check_cursor(cursor: &Cursor, fingerprint: Uuid, group_by: GroupBy, faults: &mut Faults) {
    if cursor.fingerprint != fingerprint {
        faults.push(
            "/cursor",
            "cursor_of_another_query",
            "belongs to another query: send it with the parameters of the page before; only limit may differ",
        );
    } else if !cursor.key.is_of(group_by) || cursor.start >= cursor.end {
        faults.push("/cursor", "format", NOT_A_CURSOR);
    }
}

/// The same for the same rows. The limit is not part of it, since pages may
/// differ in length.
fn fingerprint(
    window: Window,
    group_by: GroupBy,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    filter: &Filter,
) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x2c77_41d9_5f0e_4a43_9d3b_81a6_0be2_94f7);
    let Filter {
        user_id,
        team_id,
        project_id,
        metric_types,
    } = filter;
    let (start, end) = (start.map(Timestamp::micros), end.map(Timestamp::micros));
    let text = format!(
        "{window} {group_by} {start:?} {end:?} {user_id:?} {team_id:?} {project_id:?} {metric_types:?}"
    );
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}

fn limit(params: &mut Params<'_>) -> usize {
    params.whole_number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT)
}

fn metric_types(params: &mut Params<'_>) -> Option<Vec<String>> {
    let mut types: Vec<String> = params
        .get("metric_types")?
        .split(',')
        .map(str::to_owned)
        .collect();
    types.sort_unstable();
    types.dedup();
    if types.len() > MAX_METRIC_TYPES {
        let message = format!("must be at most {MAX_METRIC_TYPES} metric types");
        params.fault("metric_types", "range", message);
    } else if !types.iter().all(|name| is_metric_type(name)) {
        let message =
            "must be metric types separated by commas, each matching [a-z][a-z0-9_.]{0,99}";
        params.fault("metric_types", "pattern", message);
    }
    Some(types)
}

fn cursor(params: &mut Params<'_>) -> Option<Cursor> {
    let cursor = Cursor::decode(params.get("cursor")?);
    if cursor.is_none() {
        params.fault("cursor", "format", NOT_A_CURSOR);
    }
    cursor
}

fn is_metric_type(name: &str) -> bool {
    let mut letters = name.bytes();
    name.len() <= 100
        && letters.next().is_some_and(|b| b.is_ascii_lowercase())
        && letters.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "00000000-0000-0000-0000-000000000001";

    fn now() -> Timestamp {
        "2026-03-01T12:34:56Z".parse().unwrap()
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Query, Vec<Fault>> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Query::parse(&owned, now())
    }

    fn faults(pairs: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let faults = parse(pairs).unwrap_err();
        faults.iter().map(|f| (f.pointer.clone(), f.code)).collect()
    }

    #[test]
    fn nothing_asks_for_the_last_day_by_hours() {
        let query = parse(&[]).unwrap();
        assert_eq!((query.window, query.group_by), (Window::H1, GroupBy::None));
        assert_eq!(query.end, now());
        assert_eq!(query.start.to_string(), "2026-02-28T12:34:56Z");
        assert_eq!((query.limit, query.after), (DEFAULT_LIMIT, None));
        let query = parse(&[("end_date", "2026-01-02T00:00:00+02:00")]).unwrap();
        assert_eq!(query.start.to_string(), "2025-12-31T22:00:00Z");
    }

    #[test]
    fn a_default_range_is_the_same_while_its_buckets_are() {
        let at = |now: &str, pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let pairs: Vec<_> = pairs.iter().map(pair).collect();
            Query::parse(&pairs, now.parse().unwrap())
                .unwrap()
                .canonical()
        };
        let first = at("2026-03-01T12:00:01Z", &[]);
        assert_eq!(at("2026-03-01T13:00:00Z", &[]), first);
        assert_ne!(at("2026-03-01T13:00:00.000001Z", &[]), first);
        // What is said of a range that was given is what was given.
        let given = ["2026-03-01T12:00:01Z", "2026-03-01T12:00:02Z"];
        let [one, other] = given.map(|end| at("2026-03-01T13:00:00Z", &[("end_date", end)]));
        assert_ne!(one, other);
        assert_ne!(at("2026-03-01T12:00:01Z", &[("limit", "5")]), first);
    }

    #[test]
    fn every_fault_is_said_at_once() {
        let found = faults(&[
            ("start_date", "yesterday"),
            ("end_date", "2026-01-01T00:00:00 02:00"),
            ("user_id", "me"),
            ("team_id", "00000000000000000000000000000001"),
            ("project_id", ""),
            ("aggregation_window", "2h"),
            ("group_by", "colour"),
            ("metric_types", "a,,b"),
            ("limit", "0"),
            ("cursor", "?"),
            ("a/b~c", ""),
            ("limit", "5"),
        ]);
        let expected = [
            ("/a~1b~0c", "unknown_parameter"),
            ("/limit", "duplicate"),
            ("/start_date", "format"),
            ("/end_date", "format"),
            ("/user_id", "format"),
            ("/team_id", "format"),
            ("/project_id", "format"),
            ("/metric_types", "pattern"),
            ("/aggregation_window", "enum"),
            ("/group_by", "enum"),
            ("/cursor", "format"),
        ];
        assert_eq!(found, expected.map(|(at, code)| (at.to_owned(), code)));
    }

    #[test]
    fn a_blank_in_a_date_gets_a_hint() {
        let faults = parse(&[("end_date", "2026-01-01T00:00:00 02:00")]).unwrap_err();
        let fault = &faults[0];
        assert!(fault.message.ends_with("write + as %2B"), "{fault}");
    }

    #[test]
    fn limits_metric_types_and_ranges_are_bounded() {
        for limit in ["-1", "10001", "1.5", "99999999999999999999", " 1", ""] {
            assert_eq!(faults(&[("limit", limit)]), [("/limit".into(), "range")]);
        }
        assert_eq!(parse(&[("limit", "10000")]).unwrap().limit, 10_000);
        let backwards = [
            ("start_date", "2026-01-02T00:00:00Z"),
            ("end_date", "2026-01-02T00:00:00Z"),
        ];
        assert_eq!(faults(&backwards), [("/start_date".into(), "range")]);
        let ahead = [("start_date", "2027-01-01T00:00:00Z")];
        assert_eq!(faults(&ahead), [("/start_date".into(), "range")]);
        let first = [("end_date", "0001-01-01T00:00:00Z")];
        assert_eq!(faults(&first), [("/end_date".into(), "range")]);
        let many: Vec<_> = (0..=MAX_METRIC_TYPES).map(|i| format!("m{i}")).collect();
        let many = many.join(",");
        assert_eq!(
            faults(&[("metric_types", &many)]),
            [("/metric_types".into(), "range")]
        );
        let useless = [("metric_types", "a"), ("group_by", "agent")];
        assert_eq!(faults(&useless), [("/metric_types".into(), "conflict")]);
    }

    #[test]
    fn values_add_up_within_one_type_only() {
        for (pairs, adds) in [
            (&[][..], false),
            (&[("group_by", "metric_type")], true),
            (&[("metric_types", "b,a,b")], false),
            (&[("metric_types", "a,a")], true),
        ] {
            assert_eq!(parse(pairs).unwrap().adds_values(), adds, "{pairs:?}");
        }
    }

    #[test]
    fn a_cursor_goes_on_in_its_own_query_and_range_alone() {
        let query = parse(&[("group_by", "user")]).unwrap();
        let key = Key::Id(None);
        let cursor = query.cursor_after(query.start, key.clone()).encode();
        let later = "2026-03-02T00:00:00Z".parse().unwrap();
        let pairs = |pairs: &[(&str, &str)]| {
            let mut pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            pairs.push(("cursor".to_owned(), cursor.clone()));
            Query::parse(&pairs, later)
        };
        let next = pairs(&[("group_by", "user"), ("limit", "7")]).unwrap();
        assert_eq!((next.start, next.end), (query.start, query.end));
        assert_eq!(next.after, Some((query.start, key)));
        for others in [
            &[][..],
            &[("group_by", "team")],
            &[("group_by", "user"), ("user_id", USER)],
            &[("group_by", "user"), ("aggregation_window", "1m")],
            &[("group_by", "user"), ("metric_types", "a")],
            &[("group_by", "user"), ("end_date", "2026-03-01T12:34:56Z")],
        ] {
            let faults = pairs(others).unwrap_err();
            let codes: Vec<_> = faults.iter().map(|f| f.code).collect();
            assert_eq!(codes, ["cursor_of_another_query"], "{others:?}");
        }
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        let query = parse(&[("group_by", "user")]).unwrap();
        let wrong_key = query.cursor_after(query.start, Key::All);
        let no_range = Cursor {
            end: query.start,
            ..query.cursor_after(query.start, Key::Id(None))
        };
        for cursor in [wrong_key, no_range] {
            let pairs = [("group_by", "user"), ("cursor", &cursor.encode())];
            assert_eq!(faults(&pairs), [("/cursor".into(), "format")]);
        }
    }
}
