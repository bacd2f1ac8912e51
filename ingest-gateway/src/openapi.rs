//! The API reference of the gateway's calls.
//!
//! The types here are never built: requests are read by `schemas`, which finds every fault
//! at once. A test holds the two together.

mod answers;
mod events;

use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{
    handlers,
    receipts::{ReceiptsApi, Waiting},
};

#[derive(OpenApi)]
#[openapi(
    paths(handlers::post_command, handlers::post_agent, handlers::post_batch),
    components(schemas(events::ProductivityMetric, events::UserSession)),
    modifiers(&Bearer, &Waiting),
    tags((name = "ingest", description = "Posting events"))
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

pub(crate) use self::{
    answers::{BadBatch, BadEvent, BatchAnswer, Problem, Unavailable, UnavailableBatch},
    events::{AgentInteraction, Batch, CommandExecution},
};

/// The gateway's calls, their bodies and their answers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    api.merge(ReceiptsApi::openapi());
    api
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
                if let Some(max) = field["maximum"].as_f64() {
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
        for (path, statuses) in [
            (
                "commands",
                &[
                    "200", "202", "400", "401", "403", "413", "415", "422", "503",
                ][..],
            ),
            (
                "agents",
                &[
                    "200", "202", "400", "401", "403", "413", "415", "422", "503",
                ],
            ),
            (
                "batch",
                &[
                    "200", "202", "207", "400", "401", "403", "413", "415", "422", "503",
                ],
            ),
        ] {
            let call = &api["paths"][format!("/api/metrics/{path}")]["post"];
            let answers = call["responses"].as_object().unwrap();
            assert_eq!(answers.keys().collect::<Vec<_>>(), statuses, "{path}");
            for (status, answer) in answers {
                let media = if status.starts_with('2') {
                    "application/json"
                } else {
                    "application/problem+json"
                };
                assert!(answer["content"][media].is_object(), "{path} {status}");
            }
            assert_eq!(call["security"], json!([{"bearer": []}]));
            assert!(call["requestBody"]["content"]["application/json"].is_object());
        }
        assert!(api["components"]["securitySchemes"]["bearer"].is_object());
    }
}
