//! The description against the gateway: what it shows as an example is accepted, and what
//! is answered is what it says.

use axum::http::Method;
use platform::auth::Role;
use serde_json::{Value, json};

use super::harness::{Answer, Harness};

struct Description(Value);

impl Description {
    fn read() -> Self {
        Self(serde_json::to_value(crate::openapi()).unwrap())
    }

    /// Whether the value is what the schema at `pointer` says.
    fn holds(&self, pointer: &str, value: &Value) -> Result<(), String> {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [self.0.pointer(pointer)],
            "components": self.0["components"],
        });
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|error| format!("{pointer}: {error}"))?;
        let faults: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }

    /// The answer must be one that the call says it may give.
    fn check(&self, path: &str, method: &str, answer: &Answer) {
        let media = answer.headers["content-type"].to_str().unwrap();
        let at = format!(
            "/paths/{}/{method}/responses/{}/content/{}/schema",
            escaped(path),
            answer.status,
            escaped(media)
        );
        assert!(self.0.pointer(&at).is_some(), "{at} is not described");
        if let Err(faults) = self.holds(&at, &answer.body) {
            panic!("{at}: {faults}\n{}", answer.body);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

#[tokio::test]
async fn every_example_is_accepted_and_answered_as_described() {
    let harness = Harness::start().await;
    let description = Description::read();
    let bearer = format!("Bearer {}", harness.token(Role::Admin));
    let mut posted = 0;
    for (path, item) in description.0["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            // A call without a body has no example.
            for (media, body) in call["requestBody"]["content"]
                .as_object()
                .into_iter()
                .flatten()
            {
                let examples = body["examples"].as_object().unwrap();
                assert!(!examples.is_empty(), "{path} {media} has no example");
                for (name, example) in examples {
                    let value = &example["value"];
                    let at = format!(
                        "/paths/{}/{method}/requestBody/content/{}/schema",
                        escaped(path),
                        escaped(media)
                    );
                    if let Err(faults) = description.holds(&at, value) {
                        panic!("the example {name} of {path}: {faults}");
                    }
                    let headers = [("authorization", bearer.as_str()), ("content-type", media)];
                    let verb: Method = method.to_uppercase().parse().unwrap();
                    let call = path.strip_prefix("/api/metrics/").unwrap();
                    let call = call.replace("{session_id}", "editor-4711");
                    let answer = harness
                        .request(verb, &call, &headers, value.to_string())
                        .await;
                    assert_eq!(answer.status, 202, "{path} {name}: {}", answer.body);
                    description.check(path, method, &answer);
                    posted += 1;
                }
            }
        }
    }
    assert!(posted >= 14, "{posted}");
}

#[tokio::test]
async fn refusals_are_answered_as_described() {
    let harness = Harness::start().await;
    let description = Description::read();
    let json = ("content-type", "application/json");
    let batch = ("content-type", "application/cloudevents-batch+json");
    for (path, header, body, status) in [
        ("commands", json, "{", 400),
        ("commands", json, "{}", 400),
        (
            "productivity",
            json,
            r#"{"metric_type":"a","metric_value":1}"#,
            403,
        ),
        ("agents", ("content-type", "text/plain"), "{}", 415),
        ("sessions/start", json, r#"{"kind":1}"#, 400),
        ("batch", json, "{}", 400),
        ("batch", json, r#"{"user_sessions":[{}]}"#, 400),
        ("events", json, "{}", 400),
        ("events", batch, r#"[{},{"id":"a"}]"#, 400),
        ("events", batch, "{}", 400),
    ] {
        let answer = harness.call(Method::POST, path, &[header], body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        description.check(&format!("/api/metrics/{path}"), "post", &answer);
    }
    let json = [json];
    let answer = harness.request(Method::POST, "commands", &json, "{}").await;
    assert_eq!(answer.status, 401);
    description.check("/api/metrics/commands", "post", &answer);
}

#[tokio::test]
async fn without_a_broker_the_answers_are_as_described() {
    let settings = [
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("PUBLISH_TIMEOUT_MS", "1000"),
    ];
    let harness = Harness::with(&settings).await;
    let description = Description::read();
    let json = [("content-type", "application/json")];
    for path in ["commands", "batch"] {
        let body = match path {
            "batch" => super::harness::one_of_each(),
            _ => super::harness::command(json!({})),
        };
        let answer = harness
            .call(Method::POST, path, &json, body.to_string())
            .await;
        assert_eq!(answer.status, 503, "{path}");
        description.check(&format!("/api/metrics/{path}"), "post", &answer);
    }
}
