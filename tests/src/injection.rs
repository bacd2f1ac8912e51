//! SQL in every parameter of every call that is described, of another organization.

use platform::auth::Role;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

const PAYLOADS: [&str; 6] = [
    "' or true --",
    "x'; select set_config('app.current_org_id', (select organization_id::text from flowmeter.command_executions limit 1), false); --",
    "1 union all select * from flowmeter.command_executions",
    "');drop view tenant.command_executions;--",
    "\\'; reset role; --",
    "1h; set role flowmeter_sink",
];

/// A parameter that may carry SQL, of a call.
#[derive(Debug)]
struct Parameter {
    method: Method,
    path: String,
    name: String,
    place: String,
}

fn parameters(description: &Value) -> Vec<Parameter> {
    let mut found = Vec::new();
    for (path, calls) in description["paths"].as_object().unwrap() {
        for (method, call) in calls.as_object().unwrap() {
            let Some(parameters) = call["parameters"].as_array() else {
                continue;
            };
            for parameter in parameters {
                let text = |field: &str| parameter[field].as_str().unwrap().to_owned();
                found.push(Parameter {
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    name: text("name"),
                    place: text("in"),
                });
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_parameter_of_any_call_carries_sql() {
    let mut pipeline = Pipeline::start().await;
    let (theirs, ours) = (Uuid::new_v4(), Uuid::new_v4());
    let them = Client::of(&pipeline, theirs, Role::Admin);
    let (event, user, name) = (
        Uuid::new_v4(),
        Uuid::new_v4(),
        format!("planted-{}", Uuid::new_v4()),
    );
    let planted = json!({"event_id": event, "user_id": user, "command_name": name,
        "execution_time_ms": 7, "status": "success"});
    let (_, answer) = them
        .post("/api/metrics/commands?wait=stored", &planted)
        .await;
    assert_eq!(answer["event_id"], json!(event), "{answer}");
    let by_name = "group_by=command&aggregation_window=1d";
    eventually("the event is counted", || async {
        let rows = them.aggregated(by_name).await;
        (rows.len() == 1 && rows[0]["command_name"] == name.as_str()).then_some(())
    })
    .await;

    let us = Client::of(&pipeline, ours, Role::Admin);
    let (_, description) = us.get("/api/openapi.json").await;
    let parameters = parameters(&description);
    let names = |place: &str| parameters.iter().filter(|p| p.place == place).count();
    assert!(names("query") >= 10 && names("path") >= 2, "{parameters:?}");
    let needles = [
        theirs.to_string(),
        user.to_string(),
        event.to_string(),
        name,
    ];
    for parameter in &parameters {
        for payload in PAYLOADS {
            let (status, body) = us
                .inject(
                    &parameter.method,
                    &parameter.path,
                    &parameter.place,
                    &parameter.name,
                    payload,
                )
                .await;
            assert!(
                status.as_u16() < 500,
                "{parameter:?} {payload}: {status} {body}"
            );
            for needle in &needles {
                assert!(!body.contains(needle), "{parameter:?} {payload}: {body}");
            }
        }
    }
    // Their event, by its true id, is none of ours.
    let (status, body) = us.get(&format!("/api/metrics/events/{event}")).await;
    assert_eq!(status, reqwest::StatusCode::NOT_FOUND, "{body}");
    // And everything is still there.
    assert_eq!(them.aggregated(by_name).await.len(), 1);
    assert_eq!(us.aggregated(by_name).await.len(), 0);
    pipeline.stop().await;
}
