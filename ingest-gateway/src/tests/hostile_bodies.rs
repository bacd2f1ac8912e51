//! Bodies made to break a parser: each gets a clear refusal, and the gateway goes on.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use platform::auth::Role;
use serde_json::json;

use super::harness::{Answer, Harness, ME, command};

const MIB: usize = 1 << 20;

async fn send(harness: &Harness, call: &str, encoding: &str, body: impl Into<Vec<u8>>) -> Answer {
    let bearer = format!("Bearer {}", harness.token(Role::Developer));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-encoding", encoding),
    ];
    harness.send(call, &headers, body.into()).await
}

/// A command with `more` members, which is text that need be no JSON.
fn command_with(more: &str) -> String {
    format!(
        r#"{{"user_id":"{ME}","command_name":"build","execution_time_ms":1,"status":"success",{more}}}"#
    )
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    open.repeat(depth) + close.repeat(depth).as_str()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The codes of an event's faults.
fn faults(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array().unwrap();
    errors.iter().map(|e| e["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_no_json_is_malformed() {
    let harness = Harness::start().await;
    let deep = 100_000;
    let bodies: Vec<Vec<u8>> = vec![
        b"".into(),
        b" \n\t".into(),
        b"\0".into(),
        b"\xef\xbb\xbf{}".into(),
        b"{\"a\":\xff}".into(),
        b"{\"a\":\"\xc0\x80\"}".into(),
        b"{\"a\":\"\xed\xa0\x80\"}".into(),
        b"{} {}".into(),
        b"{}x".into(),
        b"{\"a\":1,}".into(),
        b"{'a':1}".into(),
        b"{a:1}".into(),
        b"{\"a\":/**/1}".into(),
        b"{\"a\":\"\x01\"}".into(),
        b"{\"a\":\"tab\there\"}".into(),
        b"{\"a\":\"\\x\"}".into(),
        b"{\"a\":\"\\u12\"}".into(),
        command_with(r#""n":NaN"#).into(),
        command_with(r#""n":Infinity"#).into(),
        command_with(r#""n":-Infinity"#).into(),
        command_with(r#""n":01"#).into(),
        command_with(r#""n":+1"#).into(),
        command_with(r#""n":1."#).into(),
        command_with(r#""n":0x10"#).into(),
        "[".repeat(deep).into(),
        r#"{"a":"#.repeat(deep).into(),
        command_with(&format!(r#""context":{}"#, "[".repeat(deep))).into(),
    ];
    for body in bodies {
        for call in ["commands", "batch"] {
            let answer = send(&harness, call, "identity", body.clone()).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
            assert_eq!(answer.code(), (400, "malformed_json"), "{call} {shown}");
        }
    }
}

#[tokio::test]
async fn nesting_without_end_is_refused_wherever_it_is() {
    let harness = Harness::start().await;
    let arrays = nested("[", "]", 100_000);
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for deep in [&arrays, &objects] {
        let answer = send(&harness, "commands", "identity", deep.as_str()).await;
        assert_eq!(answer.code(), (400, "invalid_event"));
        for (field, code) in [
            ("context", "too_deep"),
            ("command_args", "too_deep"),
            ("unknown", "unknown_field"),
            ("command_name", "type"),
            ("timestamp", "type"),
            ("event_id", "type"),
        ] {
            // An array is no object, however deep.
            let code = if code == "too_deep" && deep.starts_with('[') {
                "type"
            } else {
                code
            };
            let repeated = format!("\"{field}\":{deep}");
            let event = match field {
                "command_name" => format!("{{{repeated}}}"),
                _ => command_with(&repeated),
            };
            let answer = send(&harness, "commands", "identity", event.as_str()).await;
            assert_eq!(answer.code(), (400, "invalid_event"), "{field}");
            assert!(faults(&answer).contains(&code), "{field} {}", answer.body);
            let batch = format!(r#"{{"command_executions":[{event}]}}"#);
            let answer = send(&harness, "batch", "identity", batch).await;
            assert_eq!(answer.results(), [("rejected", "invalid_event")], "{field}");
        }
        let inner = format!(r#""context":{{"a":{deep}}}"#);
        let answer = send(&harness, "commands", "identity", command_with(&inner)).await;
        assert_eq!(faults(&answer), ["too_deep"]);
        for field in ["command_executions", "timestamp", "batch_id", "unknown"] {
            let batch = format!("{{\"{field}\":{deep}}}");
            let answer = send(&harness, "batch", "identity", batch).await;
            let (status, code) = answer.code();
            assert_eq!(status, 400, "{field}");
            assert!(
                ["invalid_batch", "no_event_accepted"].contains(&code),
                "{field} {code}"
            );
        }
    }
}

#[tokio::test]
async fn odd_values_are_faults_of_their_fields() {
    let harness = Harness::start().await;
    let digits = "9".repeat(10_000);
    for (more, code) in [
        (r#""status":"success""#.to_owned(), "duplicate_field"),
        (r#""st\u0061tus":"error""#.to_owned(), "duplicate_field"),
        (
            r#""context":{"a":1,"\u0061":2}"#.to_owned(),
            "duplicate_key",
        ),
        (r#""context":{"a":1e400}"#.to_owned(), "number_out_of_range"),
        (
            r#""context":{"a":1e-400}"#.to_owned(),
            "number_out_of_range",
        ),
        (
            format!(r#""context":{{"a":{digits}}}"#),
            "number_out_of_range",
        ),
        (r#""context":{"a":"\ud800"}"#.to_owned(), "invalid_text"),
        (r#""context":{"\udc00":1}"#.to_owned(), "invalid_text"),
        (r#""context":{"a":"\u0000"}"#.to_owned(), "nul_character"),
        (r#""error_message":"\ud800""#.to_owned(), "type"),
        (r#""error_message":"a\u0000b""#.to_owned(), "nul_character"),
        (r#""\ud800":1"#.to_owned(), "invalid_text"),
        (r#""":1"#.to_owned(), "unknown_field"),
        (r#""timestamp":1e400"#.to_owned(), "type"),
        (
            r#""timestamp":"9999999999-01-01T00:00:00Z""#.to_owned(),
            "timestamp",
        ),
    ] {
        let answer = send(&harness, "commands", "identity", command_with(&more)).await;
        let shown: String = more.chars().take(60).collect();
        assert_eq!(answer.code(), (400, "invalid_event"), "{shown}");
        assert!(faults(&answer).contains(&code), "{shown} {}", answer.body);
    }
    for number in [
        "1e400",
        "-1e400",
        &digits,
        "1.5",
        "1e-2",
        "-0.5",
        "99999999999999999999",
    ] {
        let event = format!(
            r#"{{"user_id":"{ME}","command_name":"b","execution_time_ms":{number},"status":"success"}}"#
        );
        let answer = send(&harness, "commands", "identity", event).await;
        assert_eq!(answer.code(), (400, "invalid_event"), "{number:.20}");
    }
    for number in ["1e400", &digits, "1e-400000000000", "NaN"] {
        let metric = format!(r#"{{"metric_type":"error_rate","metric_value":{number}}}"#);
        let batch = format!(r#"{{"productivity_metrics":[{metric}]}}"#);
        let answer = send(&harness, "batch", "identity", batch).await;
        assert_eq!(answer.status / 100, 4, "{number:.20} {}", answer.body);
        let agent = format!(r#"{{"cost_usd":{number}}}"#);
        let answer = send(&harness, "agents", "identity", agent).await;
        assert_eq!(answer.status / 100, 4, "{number:.20}");
    }
    let twice = r#"{"command_executions":[],"command_executions":[]}"#;
    let answer = send(&harness, "batch", "identity", twice).await;
    assert_eq!(answer.code(), (400, "invalid_batch"));
}

#[tokio::test]
async fn sheer_size_is_refused_without_being_kept() {
    let harness = Harness::start().await;
    let text = format!("\"{}\"", "x".repeat(10 * MIB - 2));
    let answer = send(&harness, "batch", "identity", text).await;
    assert_eq!(answer.code(), (400, "invalid_batch"));
    let long = format!(r#"{{"batch_id":"{}"}}"#, "x".repeat(10 * MIB - 20));
    let answer = send(&harness, "batch", "identity", long).await;
    assert_eq!(answer.code(), (400, "invalid_batch"));
    let named = format!(r#"{{"{}":1}}"#, "x".repeat(10 * MIB - 20));
    let answer = send(&harness, "batch", "identity", named).await;
    assert_eq!(answer.code(), (400, "invalid_batch"));
    // What is refused is not repeated in full.
    assert!(answer.body.to_string().len() < 1000);

    let empty = format!(
        r#"{{"command_executions":[{}{{}}]}}"#,
        "{},".repeat(999_999)
    );
    let answer = send(&harness, "batch", "identity", empty).await;
    assert_eq!(answer.code(), (413, "batch_too_large"));
    let event = command_with(&format!(r#""context":{{"a":[{}0]}}"#, "0,".repeat(400_000)));
    let answer = send(&harness, "commands", "identity", event).await;
    assert_eq!(faults(&answer), ["too_large"]);
    let members = (0..100_000)
        .map(|i| format!("\"{i}\":0"))
        .collect::<Vec<_>>();
    let answer = send(
        &harness,
        "commands",
        "identity",
        format!("{{{}}}", members.join(",")),
    )
    .await;
    assert_eq!(answer.code(), (400, "invalid_event"));
    assert!(faults(&answer).len() <= 64);
    let wide = command_with(&format!(r#""context":{{{}}}"#, members.join(",")));
    let answer = send(&harness, "commands", "identity", wide).await;
    assert_eq!(faults(&answer), ["too_large"]);
}

#[tokio::test]
async fn bombs_do_not_go_off() {
    let harness = Harness::start().await;
    // 10 GiB of zeros in 10 MiB.
    let bomb = gzip(&vec![0; 10 * MIB]).repeat(1000);
    let bomb = &bomb[..bomb.len().min(10 * MIB)];
    for call in ["commands", "batch"] {
        let small = &bomb[..bomb.len().min(MIB)];
        let bomb = if call == "batch" { bomb } else { small };
        let answer = send(&harness, call, "gzip", bomb).await;
        assert_eq!(answer.code(), (413, "payload_too_large"));
        let zeros = zstd::encode_all(&vec![0; 100 * MIB][..], 1).unwrap();
        let answer = send(&harness, call, "zstd", zeros).await;
        assert_eq!(answer.code(), (413, "payload_too_large"));
        // A frame that asks for a window of 128 MiB.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 9, 0, 0, b'x'];
        let answer = send(&harness, call, "zstd", frame).await;
        assert_eq!(answer.code(), (400, "invalid_encoding"));
        let answer = send(&harness, call, "gzip", "{}").await;
        assert_eq!(answer.code(), (400, "invalid_encoding"));
        let answer = send(&harness, call, "br", "{}").await;
        assert_eq!(answer.code(), (415, "unsupported_encoding"));
    }
}

#[tokio::test]
async fn an_honest_body_may_be_encoded() {
    let harness = Harness::start().await;
    let event = command(json!({})).to_string();
    let zstd = zstd::encode_all(event.as_bytes(), 3).unwrap();
    for (encoding, body) in [
        ("identity", event.clone().into_bytes()),
        ("gzip", gzip(event.as_bytes())),
        ("zstd", zstd),
    ] {
        let answer = send(&harness, "commands", encoding, body).await;
        assert_eq!(answer.status, 202, "{encoding}");
    }
    let batch = json!({"command_executions": vec![command(json!({})); 500]}).to_string();
    let answer = send(&harness, "batch", "gzip", gzip(batch.as_bytes())).await;
    assert_eq!(
        (answer.status, &answer.body["accepted"]),
        (202, &json!(500))
    );
}
