//! The API reference of the gateway's calls.
//!
//! The types here are never built: requests are read by `schemas`, which finds every fault
//! at once. A test holds the two together.

mod answers;
mod events;
pub(crate) mod examples;
mod requests;
mod responses;

use utoipa::{
    Modify, OpenApi,
    openapi::{
        HeaderBuilder, ObjectBuilder, PathItem, RefOr,
        path::Operation,
        schema::Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{
    handlers,
    receipts::{self, Waiting},
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Flowmeter ingest gateway", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        handlers::post_command,
        handlers::post_agent,
        handlers::post_metric,
        handlers::start_session,
        handlers::update_session,
        handlers::post_batch,
        handlers::post_cloud_events,
        receipts::events::get_event,
    ),
    // Those of shared answers are not found by themselves.
    components(schemas(
        answers::BadBatch,
        answers::BadEvent,
        answers::Problem,
        answers::Unavailable,
        answers::UnavailableBatch,
    )),
    modifiers(&Bearer, &Waiting, &RateLimits),
    tags((name = "ingest", description = "Posting events. Each is answered with 202 when every in-sync replica of Kafka has it, and not before. The first 100 printable ASCII characters of a request's `User-Agent` are kept beside its events as the record header `flowmeter.client`: name your program and its version there, so that refused events can be told apart by it."))
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "The token says the user, the organization and the role.",
            ))
            .build();
        api.components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What is left of the organization's limit stands in every answer that the limit let pass,
/// and in the one that it refused.
struct RateLimits;

impl Modify for RateLimits {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for operation in api.paths.paths.values_mut().flat_map(operations) {
            let answers = operation.responses.responses.iter_mut();
            for (status, answer) in answers {
                if let RefOr::T(answer) = answer
                    && (status.starts_with('2') || status == "429")
                {
                    for (name, description) in [
                        ("RateLimit-Policy", "The limits that hold"),
                        ("RateLimit", "What is left of them"),
                    ] {
                        let header = HeaderBuilder::new()
                            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                            .description(Some(description))
                            .build();
                        answer.headers.insert(name.to_owned(), header.into());
                    }
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.post, &mut item.put].into_iter().flatten()
}

pub(crate) use self::{
    answers::{BatchAnswer, CloudEventsAnswer},
    events::{AgentInteraction, Batch, CommandExecution, ProductivityMetric},
    requests::{CloudEvent, Retry, SessionStart, SessionUpdate},
    responses::{ManyRefused, OneRefused, Refusals},
};

/// The gateway's calls, their bodies and their answers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schemas::{
        Event, EventKind, Timestamp,
        event::{JsonDefaults, ValidationContext},
    };
    use serde_json::{Map, Value, json, value::RawValue};
    use uuid::Uuid;

    use super::*;

    fn api() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    fn schema(kind: EventKind) -> Value {
        let name = match kind {
            EventKind::CommandExecution => "CommandExecution",
            EventKind::AgentInteraction => "AgentInteraction",
            EventKind::ProductivityMetric => "ProductivityMetric",
            EventKind::UserSession => "UserSession",
        };
        api()["components"]["schemas"][name].take()
    }

    fn codes(kind: EventKind, body: &Value) -> Vec<(String, &'static str)> {
        let text = body.to_string();
        let raw: &RawValue = serde_json::from_str(&text).unwrap();
        let now = Timestamp::from_millis(1_800_000_000_000).unwrap();
        let defaults = JsonDefaults {
            organization_id: Uuid::nil(),
            event_id: Uuid::nil(),
            timestamp: now,
        };
        let context = ValidationContext {
            record_time: now,
            retention_seconds: 86_400,
        };
        let faults = Event::from_json(kind, raw, &defaults, &context).err();
        let faults = faults.unwrap_or_default().into_iter();
        faults.map(|f| (f.pointer, f.code)).collect()
    }

    #[test]
    fn the_documented_fields_are_those_that_are_read() {
        for kind in EventKind::ALL {
            let schema = schema(kind);
            let documented: BTreeSet<String> = schema["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(|name| format!("/{name}"))
                .collect();
            // A boolean is no field's type, so every field that is read is a fault; what is
            // not a fault, or an unknown field, is not read.
            let all_wrong: Map<String, Value> = documented
                .iter()
                .map(|at| (at[1..].to_owned(), true.into()))
                .collect();
            let found = codes(kind, &all_wrong.into());
            assert!(
                found.iter().all(|(_, code)| *code != "unknown_field"),
                "{found:?}"
            );
            let read: BTreeSet<String> = found.into_iter().map(|(at, _)| at).collect();
            assert_eq!(read, documented, "{kind}");
            assert_eq!(schema["additionalProperties"], false, "{kind}");
        }
    }

    #[test]
    fn the_required_fields_are_those_that_are_required() {
        for kind in EventKind::ALL {
            let documented: BTreeSet<String> = schema(kind)["required"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| format!("/{}", name.as_str().unwrap()))
                .collect();
            let required: BTreeSet<String> = codes(kind, &json!({}))
                .into_iter()
                .filter(|(_, code)| *code == "required")
                .map(|(at, _)| at)
                .collect();
            assert_eq!(required, documented, "{kind}");
        }
    }

    /// One beyond each documented bound is refused, and the bound itself is not.
    #[test]
    fn the_documented_limits_hold() {
        for kind in EventKind::ALL {
            let schema = schema(kind);
            for (name, field) in schema["properties"].as_object().unwrap() {
                let at = format!("/{name}");
                let refused = |value: Value| {
                    let found = codes(kind, &json!({ name: value }));
                    found.iter().any(|(place, _)| *place == at)
                };
                if let Some(max) = field["maxLength"].as_u64() {
                    let max = usize::try_from(max).unwrap();
                    assert!(!refused("x".repeat(max).into()), "{kind} {name}");
                    assert!(refused("x".repeat(max + 1).into()), "{kind} {name}");
                }
                // What a number of 64 bits holds anyway is no bound of ours.
                let max = field["maximum"].as_f64().filter(|max| *max < 9e18);
                if let Some(max) = max {
                    let whole = field.to_string().contains("integer");
                    let number = |n: f64| if whole { json!(n as i64) } else { json!(n) };
                    let min = field["minimum"].as_f64().unwrap();
                    assert!(!refused(number(max)), "{kind} {name}");
                    assert!(refused(number(max * 1.5)), "{kind} {name}");
                    assert!(!refused(number(min)), "{kind} {name}");
                    assert!(refused(number(min.mul_add(2.0, -1.0))), "{kind} {name}");
                }
            }
        }
    }

    #[test]
    fn every_call_says_its_answers_and_its_security() {
        let api = api();
        assert_eq!(api["openapi"], "3.1.0");
        let calls = [
            ("post", "commands"),
            ("post", "agents"),
            ("post", "productivity"),
            ("post", "sessions/start"),
            ("put", "sessions/{session_id}"),
            ("post", "batch"),
            ("post", "events"),
        ];
        // And where an event is.
        assert_eq!(api["paths"].as_object().unwrap().len(), calls.len() + 1);
        for (method, path) in calls {
            let call = &api["paths"][format!("/api/metrics/{path}")][method];
            let answers = call["responses"].as_object().unwrap();
            let many = matches!(path, "batch" | "events");
            let mut statuses = vec!["200", "202", "207", "400", "401", "403", "408", "413"];
            statuses.extend(["415", "422", "429", "500", "503"]);
            statuses.retain(|status| many || *status != "207");
            assert_eq!(answers.keys().collect::<Vec<_>>(), statuses, "{path}");
            for (status, answer) in answers {
                let media = if status.starts_with('2') {
                    "application/json"
                } else {
                    "application/problem+json"
                };
                let content = &answer["content"][media]["schema"];
                assert!(content.is_object(), "{path} {status}");
                let headers: Vec<_> = answer["headers"].as_object().map_or(vec![], |headers| {
                    headers.keys().map(String::as_str).collect()
                });
                let expected: &[&str] = match status.as_str() {
                    "200" | "202" | "207" => &["RateLimit", "RateLimit-Policy"],
                    "401" => &["WWW-Authenticate"],
                    "429" => &["RateLimit", "RateLimit-Policy", "Retry-After"],
                    "503" => &["Retry-After"],
                    _ => &[],
                };
                assert_eq!(headers, expected, "{path} {status}");
            }
            assert_eq!(call["security"], json!([{"bearer": []}]));
            let parameters = call["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|p| p["name"] == "Idempotency-Key"));
        }
        assert!(api["components"]["securitySchemes"]["bearer"].is_object());
        // Every reference leads somewhere.
        let text = api.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(api.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn the_cloud_events_types_are_those_that_are_read() {
        let text = api().to_string();
        for kind in EventKind::ALL {
            assert!(text.contains(crate::cloud_events::type_of(kind)), "{kind}");
        }
    }
}
