//! The body of `POST /query`, read with all its faults at once.

use std::{fmt::Display, str::FromStr};

use schemas::{Fault, Faults, Timestamp, Window, fault::pointer, json::ObjectReader};
use serde_json::value::RawValue;
use uuid::{Uuid, fmt::Hyphenated};

use super::{
    cursor::Cursor,
    group::Filter,
    params::WithPrevious,
    query::{
        Asked, MAX_LIMIT, MAX_VALUES, NOT_A_CURSOR, Places, Query, check_name, is_metric_type,
        values,
    },
};

const PLACES: Places = Places {
    start: "/start_date",
    end: "/end_date",
    window: "/window",
    command_names: "/filters/command_names",
    agent_names: "/filters/agent_names",
    models: "/filters/models",
    metric_types: "/filters/metric_types",
    fill: "/fill",
    zone: "/tz",
    cursor: "/cursor",
};

impl Query {
    /// Reads a body. `kept` are the windows that there are rollups of.
    ///
    /// # Errors
    /// All faults together, each with a JSON pointer.
    pub(crate) fn from_json(
        body: &RawValue,
        kept: &[Window],
        now: Timestamp,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let asked = asked(body, &mut faults).unwrap_or_default();
        asked.resolve(&PLACES, kept, now, faults)
    }
}

fn asked(body: &RawValue, faults: &mut Faults) -> Option<Asked> {
    let mut reader = ObjectReader::open(body, faults)?;
    let read = &mut reader;
    let asked = Asked {
        start: parsed(read, "start_date", "format", faults),
        end: parsed(read, "end_date", "format", faults),
        window: parsed(read, "window", "enum", faults),
        group_by: parsed(read, "group_by", "enum", faults),
        filter: filter(read, faults).unwrap_or_default(),
        fill: read.boolean("fill", faults).unwrap_or(false),
        compare: parsed::<WithPrevious>(read, "compare", "enum", faults).is_some(),
        zone: parsed(read, "tz", "enum", faults),
        limit: limit(read, faults),
        cursor: cursor(read, faults),
    };
    reader.finish(faults);
    Some(asked)
}

/// A text that says something else.
fn parsed<T: FromStr<Err: Display>>(
    reader: &mut ObjectReader<'_>,
    name: &str,
    code: &'static str,
    faults: &mut Faults,
) -> Option<T> {
    let text = reader.string(name, faults)?;
    let parsed = text.parse().map_err(|error: T::Err| error.to_string());
    parsed
        .map_err(|message| faults.push(pointer("", name), code, message))
        .ok()
}

fn limit(reader: &mut ObjectReader<'_>, faults: &mut Faults) -> Option<usize> {
    let number = reader.integer("limit", faults)?;
    let limit = usize::try_from(number).ok();
    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    if limit.is_none() {
        let message = format!("must be a whole number from 1 to {MAX_LIMIT}");
        faults.push("/limit", "range", message);
    }
    limit
}

fn cursor(reader: &mut ObjectReader<'_>, faults: &mut Faults) -> Option<Cursor> {
    let cursor = Cursor::decode(&reader.string("cursor", faults)?);
    if cursor.is_none() {
        faults.push("/cursor", "format", NOT_A_CURSOR);
    }
    cursor
}

fn filter(reader: &mut ObjectReader<'_>, faults: &mut Faults) -> Option<Filter> {
    const PLACE: &str = "/filters";
    let raw = reader.raw("filters", faults)?;
    let mut inner = Faults::default();
    let filter = ObjectReader::open(raw, &mut inner).map(|mut lists| {
        let (read, found) = (&mut lists, &mut inner);
        let filter = Filter {
            user_ids: list(read, "user_ids", found, id),
            team_ids: list(read, "team_ids", found, id),
            project_ids: list(read, "project_ids", found, id),
            command_names: list(read, "command_names", found, name),
            agent_names: list(read, "agent_names", found, name),
            models: list(read, "models", found, name),
            metric_types: list(read, "metric_types", found, metric_type),
        };
        lists.finish(found);
        filter
    });
    for fault in inner.or_value(()).err().unwrap_or_default() {
        faults.push(
            format!("{PLACE}{}", fault.pointer),
            fault.code,
            fault.message,
        );
    }
    filter
}

/// A list of texts, each of which `read` makes a value of, or a fault's code and message.
fn list<T: Ord>(
    reader: &mut ObjectReader<'_>,
    name: &str,
    faults: &mut Faults,
    read: impl Fn(String) -> Result<T, (&'static str, String)>,
) -> Option<Vec<T>> {
    let texts = reader.strings(name, faults)?;
    let place = pointer("", name);
    if texts.len() > MAX_VALUES {
        let message = format!("must have at most {MAX_VALUES} elements");
        faults.push(place, "range", message);
        return None;
    }
    let mut found = Vec::with_capacity(texts.len());
    for (index, text) in texts.into_iter().enumerate() {
        match read(text) {
            Ok(value) => found.push(value),
            Err((code, message)) => faults.push(format!("{place}/{index}"), code, message),
        }
    }
    values(found)
}

fn id(text: String) -> Result<Uuid, (&'static str, String)> {
    let id = text.parse::<Hyphenated>();
    id.map(Hyphenated::into_uuid)
        .map_err(|_| ("format", "must be a UUID".to_owned()))
}

fn name(text: String) -> Result<String, (&'static str, String)> {
    check_name(&text)?;
    Ok(text)
}

fn metric_type(text: String) -> Result<String, (&'static str, String)> {
    let message = || "must match [a-z][a-z0-9_.]{0,99}".to_owned();
    match is_metric_type(&text) {
        true => Ok(text),
        false => Err(("pattern", message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Query, Vec<Fault>> {
        let now = "2026-03-01T12:34:56Z".parse().unwrap();
        Query::from_json(serde_json::from_str(text).unwrap(), &Window::ALL, now)
    }

    fn asked_for(pairs: &[(&str, &str)]) -> Query {
        let now = "2026-03-01T12:34:56Z".parse().unwrap();
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Query::parse(&owned, &Window::ALL, now).unwrap()
    }

    #[test]
    fn a_body_and_a_query_string_ask_for_the_same() {
        let id = "00000000-0000-0000-0000-000000000001";
        let body = format!(
            r#"{{"start_date": "2026-02-01T00:00:00Z", "end_date": "2026-03-01T00:00:00+01:00",
                "window": "1d", "group_by": "none", "fill": true, "compare": "previous",
                "tz": "Asia/Tokyo", "limit": 7, "cursor": null,
                "filters": {{"user_ids": ["{id}"], "team_ids": [], "project_ids": ["{id}", "{id}"],
                    "command_names": ["build"], "agent_names": ["coder"], "models": ["small"],
                    "metric_types": ["b", "a"]}}}}"#
        );
        let query = asked_for(&[
            ("start_date", "2026-02-01T00:00:00Z"),
            ("end_date", "2026-03-01T00:00:00+01:00"),
            ("aggregation_window", "1d"),
            ("fill", "true"),
            ("compare", "previous"),
            ("tz", "Asia/Tokyo"),
            ("limit", "7"),
            ("user_id", id),
            ("project_id", id),
            ("command_name", "build"),
            ("agent_name", "coder"),
            ("model", "small"),
            ("metric_types", "a,b,a"),
        ]);
        assert_eq!(read(&body), Ok(query));
        assert_eq!(read("{}"), Ok(asked_for(&[])));
        assert_eq!(read(r#"{"filters": {}}"#), Ok(asked_for(&[])));
    }

    #[test]
    fn every_fault_is_said_at_once() {
        let many = vec!["\"a\""; MAX_VALUES + 1].join(",");
        let body = format!(
            r#"{{"start_date": 5, "end_date": "soon", "window": "2h", "group_by": "colour",
                "fill": "yes", "compare": "last", "tz": "Europe/Atlantis", "limit": 0, "cursor": "?",
                "user_id": "x", "limit/": 1,
                "filters": {{"user_ids": ["x", "00000000-0000-0000-0000-000000000001", ""],
                    "team_ids": "x", "command_names": ["a", ""], "agent_names": [{many}],
                    "models": ["\u0000"], "metric_types": ["A"], "colours": []}}}}"#
        );
        let faults = read(&body).unwrap_err();
        let found: Vec<_> = faults
            .iter()
            .map(|f| (f.pointer.as_str(), f.code))
            .collect();
        assert_eq!(
            found,
            [
                ("/start_date", "type"),
                ("/end_date", "format"),
                ("/window", "enum"),
                ("/group_by", "enum"),
                ("/filters/user_ids/0", "format"),
                ("/filters/user_ids/2", "format"),
                ("/filters/team_ids", "type"),
                ("/filters/command_names/1", "length"),
                ("/filters/agent_names", "range"),
                ("/filters/models/0", "nul_character"),
                ("/filters/metric_types/0", "pattern"),
                ("/filters/colours", "unknown_field"),
                ("/fill", "type"),
                ("/compare", "enum"),
                ("/tz", "enum"),
                ("/limit", "range"),
                ("/cursor", "format"),
                ("/user_id", "unknown_field"),
                ("/limit~1", "unknown_field"),
            ]
        );
        for text in ["[]", "1", "null"] {
            let faults = read(text).unwrap_err();
            assert_eq!((faults[0].pointer.as_str(), faults[0].code), ("", "type"));
        }
        let faults = read(r#"{"filters": []}"#).unwrap_err();
        assert_eq!(
            (faults[0].pointer.as_str(), faults[0].code),
            ("/filters", "type")
        );
    }

    #[test]
    fn contradictions_are_found_where_they_are_written() {
        let faults = read(
            r#"{"group_by": "user", "fill": true, "tz": "Asia/Tokyo", "window": "1h",
                "filters": {"metric_types": ["a"]}}"#,
        );
        let found = |faults: Vec<Fault>| faults.into_iter().map(|f| f.pointer).collect::<Vec<_>>();
        assert_eq!(found(faults.unwrap_err()), ["/fill", "/tz"]);
        let faults = read(r#"{"group_by": "agent", "filters": {"metric_types": ["a"]}}"#);
        assert_eq!(found(faults.unwrap_err()), ["/filters/metric_types"]);
        let faults = read(r#"{"start_date": "2027-01-01T00:00:00Z"}"#);
        assert_eq!(found(faults.unwrap_err()), ["/start_date"]);
    }
}
