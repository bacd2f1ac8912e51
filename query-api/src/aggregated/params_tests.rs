use super::*;
use crate::aggregated::{buckets::Buckets, group::Key};

const USER: &str = "00000000-0000-0000-0000-000000000001";

fn now() -> Timestamp {
    "2026-03-01T12:34:56Z".parse().unwrap()
}

fn parse(pairs: &[(&str, &str)]) -> Result<Query, Vec<Fault>> {
    let owned: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Query::parse(&owned, &Window::ALL, now())
}

fn faults(pairs: &[(&str, &str)]) -> Vec<(String, &'static str)> {
    let faults = parse(pairs).unwrap_err();
    faults.iter().map(|f| (f.pointer.clone(), f.code)).collect()
}

#[test]
fn nothing_asks_for_the_last_day_by_quarters_of_an_hour() {
    let query = parse(&[]).unwrap();
    assert_eq!(query.buckets, Buckets::Even(Window::M15));
    assert_eq!(
        (query.group_by, query.fill, query.compare),
        (GroupBy::None, false, false)
    );
    assert_eq!(query.end, now());
    assert_eq!(query.start.to_string(), "2026-02-28T12:34:56Z");
    assert_eq!((query.limit, query.after), (DEFAULT_LIMIT, None));
    let query = parse(&[("end_date", "2026-01-02T00:00:00+02:00")]).unwrap();
    assert_eq!(query.start.to_string(), "2025-12-31T22:00:00Z");
}

#[test]
fn every_fault_is_said_at_once() {
    let long = "x".repeat(256);
    let found = faults(&[
        ("start_date", "yesterday"),
        ("end_date", "2026-01-01T00:00:00 02:00"),
        ("user_id", "me"),
        ("team_id", "00000000000000000000000000000001"),
        ("project_id", ""),
        ("aggregation_window", "2h"),
        ("group_by", "colour"),
        ("command_name", ""),
        ("agent_name", "\0"),
        ("model", &long),
        ("metric_types", "a,,b"),
        ("fill", "maybe"),
        ("compare", "last"),
        ("tz", "Europe/Atlantis"),
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
        ("/command_name", "length"),
        ("/agent_name", "nul_character"),
        ("/model", "length"),
        ("/metric_types", "pattern"),
        ("/aggregation_window", "enum"),
        ("/group_by", "enum"),
        ("/fill", "enum"),
        ("/compare", "enum"),
        ("/tz", "enum"),
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
    let many: Vec<_> = (0..=MAX_VALUES).map(|i| format!("m{i}")).collect();
    let many = many.join(",");
    assert_eq!(
        faults(&[("metric_types", &many)]),
        [("/metric_types".into(), "range")]
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (pairs, place, code) in [
        (
            [("metric_types", "a"), ("group_by", "agent")],
            "/metric_types",
            "conflict",
        ),
        (
            [("command_name", "a"), ("group_by", "model")],
            "/command_name",
            "conflict",
        ),
        (
            [("agent_name", "a"), ("group_by", "command")],
            "/agent_name",
            "conflict",
        ),
        (
            [("model", "a"), ("group_by", "metric_type")],
            "/model",
            "conflict",
        ),
        (
            [("fill", "true"), ("group_by", "user")],
            "/fill",
            "conflict",
        ),
        (
            [("tz", "Asia/Tokyo"), ("aggregation_window", "1h")],
            "/tz",
            "conflict",
        ),
        (
            [("tz", "Asia/Tokyo"), ("start_date", "2001-01-01T00:00:00Z")],
            "/tz",
            "range",
        ),
    ] {
        assert_eq!(faults(&pairs), [(place.to_owned(), code)], "{pairs:?}");
    }
    // What is left of these has a meaning.
    for pairs in [
        [("model", "a"), ("group_by", "agent")],
        [("agent_name", "a"), ("group_by", "model")],
        [("command_name", "a"), ("group_by", "user")],
        [("fill", "true"), ("group_by", "none")],
        [("fill", "false"), ("group_by", "user")],
        [("tz", "UTC"), ("aggregation_window", "1m")],
        [("tz", "Asia/Tokyo"), ("aggregation_window", "1d")],
    ] {
        assert!(parse(&pairs).is_ok(), "{pairs:?}");
    }
}

#[test]
fn a_time_zone_asks_for_its_days() {
    let query = parse(&[("tz", "Asia/Tokyo")]).unwrap();
    let (buckets, zone) = (&query.buckets, query.buckets.zone());
    assert_eq!(
        (buckets.window(), buckets.source()),
        (Window::D1, Window::H1)
    );
    assert_eq!(zone.name(), "Asia/Tokyo");
    assert_eq!(query.first.to_string(), "2026-02-27T15:00:00Z");
    assert_eq!(query.until.to_string(), "2026-03-01T15:00:00Z");
    let query = parse(&[("tz", "Asia/Tokyo"), ("compare", "previous")]).unwrap();
    assert_eq!(
        query.previous(query.first).to_string(),
        "2026-02-25T15:00:00Z"
    );
}

#[test]
fn a_period_is_compared_with_as_many_buckets_before() {
    let query = parse(&[
        ("start_date", "2026-03-01T00:30:00Z"),
        ("end_date", "2026-03-01T02:30:00Z"),
        ("aggregation_window", "1h"),
        ("compare", "previous"),
    ]);
    let query = query.unwrap();
    assert_eq!(query.first.to_string(), "2026-03-01T00:00:00Z");
    assert_eq!(query.until.to_string(), "2026-03-01T03:00:00Z");
    assert_eq!(
        query.previous(query.first).to_string(),
        "2026-02-28T21:00:00Z"
    );
}

#[test]
fn a_window_that_is_not_kept_is_refused() {
    let kept = [Window::M5, Window::D1];
    let parse = |name: &str, value: &str| {
        let pairs = [(name.to_owned(), value.to_owned())];
        Query::parse(&pairs, &kept, now())
    };
    let faults = parse("aggregation_window", "1h").unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "/aggregation_window: is not kept; there are 5m, 1d"
    );
    assert_eq!(faults[0].code, "not_kept");
    let query = parse("limit", "1").unwrap();
    assert_eq!(query.buckets, Buckets::Even(Window::D1));
    // Days of a time zone are made of what there is.
    assert_eq!(
        parse("tz", "Asia/Tokyo").unwrap().buckets.source(),
        Window::M5
    );
    let faults = Query::parse(
        &[("tz".to_owned(), "Asia/Tokyo".to_owned())],
        &kept[1..],
        now(),
    );
    let fault = &faults.unwrap_err()[0];
    assert_eq!(
        fault.to_string(),
        "/tz: needs rollups of 1h, which are not kept"
    );
    assert_eq!(fault.code, "not_kept");
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
    let cursor = query.cursor_after(query.first, key.clone()).encode();
    let later = "2026-03-02T00:00:00Z".parse().unwrap();
    let pairs = |pairs: &[(&str, &str)]| {
        let mut pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        pairs.push(("cursor".to_owned(), cursor.clone()));
        Query::parse(&pairs, &Window::ALL, later)
    };
    let next = pairs(&[("group_by", "user"), ("limit", "7")]).unwrap();
    assert_eq!((next.start, next.end), (query.start, query.end));
    assert_eq!(next.after, Some((query.first, key)));
    for others in [
        &[][..],
        &[("group_by", "team")],
        &[("group_by", "user"), ("user_id", USER)],
        &[("group_by", "user"), ("aggregation_window", "1m")],
        &[("group_by", "user"), ("metric_types", "a")],
        &[("group_by", "user"), ("model", "a")],
        &[("group_by", "user"), ("compare", "previous")],
        &[("group_by", "user"), ("tz", "Asia/Tokyo")],
        &[("group_by", "user"), ("end_date", "2026-03-01T12:34:56Z")],
    ] {
        let faults = pairs(others).unwrap_err();
        let codes: Vec<_> = faults.iter().map(|f| f.code).collect();
        assert_eq!(codes, ["cursor_of_another_query"], "{others:?}");
    }
}

#[test]
fn a_made_up_cursor_is_refused() {
    let query = parse(&[("group_by", "user"), ("aggregation_window", "1h")]).unwrap();
    let wrong_key = query.cursor_after(query.first, Key::All);
    let no_range = Cursor {
        end: query.start,
        ..query.cursor_after(query.first, Key::Id(None))
    };
    let no_bucket = query.cursor_after(query.start, Key::Id(None));
    for cursor in [wrong_key, no_range, no_bucket] {
        let pairs = [
            ("group_by", "user"),
            ("aggregation_window", "1h"),
            ("cursor", &cursor.encode()),
        ];
        assert_eq!(faults(&pairs), [("/cursor".into(), "format")]);
    }
}
