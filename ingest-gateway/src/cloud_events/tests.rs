use axum::http::HeaderName;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ORGANIZATION: Uuid = Uuid::from_u128(0xA);

fn envelope(more: Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": "4711", "source": "/ci", "type": type_of(EventKind::CommandExecution),
        "data": {"command_name": "build"},
    });
    let Value::Object(more) = more else {
        panic!("not an object");
    };
    event.as_object_mut().unwrap().extend(more);
    event
}

/// What a CloudEvent says.
type Read = (
    Option<EventKind>,
    Option<Uuid>,
    Option<Timestamp>,
    Option<String>,
    Vec<(String, &'static str)>,
);

fn told(posted: Posted<'_>) -> Read {
    assert_eq!(posted.form, Form::CloudEvent);
    let faults = posted.faults.into_iter().map(|f| (f.pointer, f.code));
    (
        posted.kind,
        posted.event_id,
        posted.timestamp,
        posted.fields.map(|fields| fields.get().to_owned()),
        faults.collect(),
    )
}

fn read(text: &str) -> Read {
    let raw: &RawValue = serde_json::from_str(text).unwrap();
    told(structured(raw, ORGANIZATION))
}

fn faults(event: &Value) -> Vec<(String, &'static str)> {
    read(&event.to_string()).4
}

fn read_binary(headers: &[(&str, &[u8])], data: &str) -> Read {
    let headers = headers.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_bytes(value).unwrap())
    });
    let raw: &RawValue = serde_json::from_str(data).unwrap();
    told(binary(&headers.collect(), raw, ORGANIZATION))
}

#[test]
fn an_envelope_says_kind_id_and_time() {
    let more = json!({"time": "2026-01-31T12:00:00+01:00", "subject": null, "traceparent": [1]});
    let (kind, id, time, fields, faults) = read(&envelope(more).to_string());
    assert_eq!(faults, []);
    assert_eq!(kind, Some(EventKind::CommandExecution));
    assert_eq!(id.unwrap().get_version_num(), 5);
    assert_eq!(time, "2026-01-31T11:00:00Z".parse().ok());
    assert_eq!(fields.as_deref(), Some(r#"{"command_name":"build"}"#));
    let more =
        json!({"time": "2026-01-31T12:00:00Z", "data": {"timestamp": "2026-01-30T12:00:00Z"}});
    assert_eq!(read(&envelope(more).to_string()).2, None, "data says it");
}

#[test]
fn clients_can_rely_on_how_ids_are_derived() {
    // A change here would count events twice that are delivered again over an update.
    let derived = event_id(ORGANIZATION, "/ci", "4711");
    assert_eq!(derived.to_string(), "7349545b-1ad8-5ac0-abc5-e37603c98cf2");
    let own = "01970000-0000-7000-8000-0000000000a2";
    assert_eq!(event_id(ORGANIZATION, "/ci", own).to_string(), own);
    for (organization, source, id) in [
        (Uuid::from_u128(0xB), "/ci", "4711"),
        (ORGANIZATION, "/cj", "4711"),
        (ORGANIZATION, "/ci", "4712"),
        (ORGANIZATION, "/c", "i 4711"),
    ] {
        assert_ne!(event_id(organization, source, id), derived, "{source} {id}");
    }
}

#[test]
fn every_fault_of_an_envelope_is_told() {
    let event = json!({
        "specversion": "0.3", "id": "", "source": "a b", "type": "com.example.other",
        "time": "noon", "datacontenttype": "text/xml", "dataschema": "%zz", "subject": 1,
        "data_base64": "e30=", "Upper": 1, "my_ext": 1,
    });
    let mut found = faults(&event);
    found.sort();
    let expected = [
        ("/Upper", "unknown_field"),
        ("/data", "required"),
        ("/data_base64", "data_base64"),
        ("/datacontenttype", "choice"),
        ("/dataschema", "pattern"),
        ("/id", "pattern"),
        ("/my_ext", "unknown_field"),
        ("/source", "pattern"),
        ("/specversion", "choice"),
        ("/subject", "type"),
        ("/time", "timestamp"),
        ("/type", "choice"),
    ];
    assert_eq!(found, expected.map(|(at, code)| (at.to_owned(), code)));
    let required = ["/specversion", "/id", "/source", "/type", "/data"];
    let expected = required.map(|at| (at.to_owned(), "required"));
    assert_eq!(faults(&json!({})), expected);
    assert_eq!(faults(&json!([])), [(String::new(), "type")]);
    let twice = r#"{"id":"a","id":"b","ext":1,"ext":2,"data":{},"data":{}}"#;
    let found = read(twice).4;
    for at in ["/id", "/ext", "/data"] {
        assert!(found.contains(&(at.to_owned(), "duplicate_field")), "{at}");
    }
    let other = envelope(json!({"data": {"event_id": Uuid::from_u128(1)}}));
    let expected = [("/data/event_id".to_owned(), "event_id_mismatch")];
    assert_eq!(faults(&other), expected);
    let same = event_id(ORGANIZATION, "/ci", "4711");
    assert_eq!(faults(&envelope(json!({"data": {"event_id": same}}))), []);
}

#[test]
fn data_is_json() {
    for media_type in [
        json!(null),
        json!("application/json"),
        json!("Application/JSON; charset=utf-8"),
        json!("application/vnd.acme+json"),
    ] {
        let event = envelope(json!({"datacontenttype": media_type}));
        assert_eq!(faults(&event), [], "{media_type}");
    }
    for media_type in ["", "json", "/json", "text/plain", "application/json5"] {
        let event = envelope(json!({"datacontenttype": media_type}));
        assert_eq!(faults(&event).len(), 1, "{media_type}");
    }
}

#[test]
fn the_mode_follows_from_the_media_type() {
    let modes = [Mode::Structured, Mode::Batched, Mode::Binary];
    assert_eq!(Mode::MEDIA_TYPES.map(Mode::of), modes);
}

#[test]
fn header_values_are_decoded_once() {
    for (value, text) in [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀")),
        ("%2541", Some("%41")),
        (r#""a \"b\" \\""#, Some(r#"a "b" \"#)),
        ("plain", Some("plain")),
        ("%41%C0%A0", None),
    ] {
        let header = HeaderValue::from_str(value).unwrap();
        assert_eq!(header_text(&header).as_deref(), text, "{value}");
    }
}

#[test]
fn what_is_no_attribute_is_no_header() {
    let found = read_binary(
        &[
            ("ce-datacontenttype", b"application/json"),
            ("ce-data", b"{}"),
            ("ce-my_ext", b"x"),
            ("ce-id", b"a"),
            ("ce-id", b"b"),
            ("ce-source", b"%C0%A0"),
            ("x-request-id", b"x"),
        ],
        "null",
    )
    .4;
    for expected in [
        ("/datacontenttype", "unknown_field"),
        ("/data", "unknown_field"),
        ("/my_ext", "unknown_field"),
        ("/id", "duplicate_field"),
        ("/source", "type"),
        ("/specversion", "required"),
    ] {
        assert!(
            found.contains(&(expected.0.to_owned(), expected.1)),
            "{expected:?}"
        );
    }
}

proptest! {
    #[test]
    fn structured_and_binary_tell_the_same(
        id in "\\PC{0,6}",
        source in "[a-z/ %0-9é]{0,6}",
        kind in 0..5usize,
        time in "(2026-01-31T12:00:00Z|noon|)",
        extension in "\\PC{0,6}",
        data in r#"(null|1|\{\}|\{"event_id":"01970000-0000-7000-8000-0000000000a2"\})"#,
    ) {
        let kinds = EventKind::ALL.map(type_of);
        let kind = kinds.get(kind).copied().unwrap_or("other");
        let attributes = [
            ("specversion", "1.0"), ("id", &id), ("source", &source), ("type", kind),
            ("time", &time), ("ext", &extension),
        ];
        let mut event: serde_json::Map<String, Value> = attributes
            .iter()
            .map(|(name, text)| ((*name).to_owned(), json!(text)))
            .collect();
        event.insert("data".to_owned(), serde_json::from_str(&data).unwrap());
        let structured = read(&Value::Object(event).to_string());

        let headers: Vec<_> = attributes
            .iter()
            .map(|(name, text)| {
                let text = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
                (format!("ce-{name}"), text.into_bytes())
            })
            .collect();
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        prop_assert_eq!(read_binary(&headers, &data), structured);
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[\[\]{}",:a-c0-9\\ ]{0,60}|\{("(id|data|time|type|\\ud800)":("a"|null|1|\{\}),?){0,4}\}"#) {
        if let Ok(raw) = serde_json::from_str::<&RawValue>(&text) {
            structured(raw, ORGANIZATION);
        }
    }

    #[test]
    fn no_header_makes_it_panic(value in proptest::collection::vec(0x20..=0xffu8, 0..20)) {
        let value: Vec<u8> = value.into_iter().filter(|byte| *byte != 0x7f).collect();
        read_binary(&[("ce-id", &value), ("ce-time", &value), ("ce-x", &value)], "{}");
    }
}
