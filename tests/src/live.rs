//! Live views over the whole pipeline: what they show is what the database has.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use platform::auth::Role;
use query_api::test_support::{LiveClient, LiveRows};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

const GROUPINGS: [&str; 6] = ["none", "user", "team", "command", "agent", "metric_type"];

/// Rows of `/aggregated` from where a view begins.
async fn stored(client: &Client, query: &str, from: &str) -> Vec<Value> {
    let end = (Utc::now() + TimeDelta::hours(1)).format("%FT%TZ");
    let query = query.replace("window=", "aggregation_window=");
    let range = format!("start_date={from}&end_date={end}&limit=10000");
    client.aggregated(&format!("{query}&{range}")).await
}

/// Waits until a view shows what is stored.
async fn shows_what_is_stored(live: &mut LiveClient, client: &Client, query: &str) {
    loop {
        let rows = stored(client, query, &live.view.from).await;
        if sorted(live.view.rows()) == sorted(rows) {
            return;
        }
        // What comes later than the database's answer is compared with the next.
        if let Ok(next) = timeout(Duration::from_millis(100), live.next()).await {
            next.expect("the stream goes on");
        }
    }
}

pub(crate) fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

fn batch(users: &[Uuid], team: Uuid) -> Value {
    let now = Utc::now();
    let of = |index: usize, event: Value| -> Value {
        let mut event = event;
        event["user_id"] = json!(users[index % users.len()]);
        event["timestamp"] = json!(now - TimeDelta::minutes(7 * index as i64));
        if index.is_multiple_of(2) {
            event["team_id"] = json!(team);
        }
        event
    };
    let all = |event: &dyn Fn(usize) -> Value| -> Vec<Value> {
        (0..9).map(|index| of(index, event(index))).collect()
    };
    json!({
        "command_executions": all(&|index| json!({"command_name": format!("c{}", index % 3),
            "execution_time_ms": 10 * index, "status": "success"})),
        "agent_interactions": all(&|index| json!({"agent_name": "coder", "interaction_type": "chat",
            "execution_time_ms": 5, "status": "error", "input_tokens": index, "cost_usd": "0.01"})),
        "productivity_metrics": all(&|index| json!({"metric_type": "productivity_score",
            "metric_value": index})),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_shows_what_the_database_has_also_after_a_restart() {
    let mut pipeline = Pipeline::start().await;
    let mut client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let other = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let (users, team) = ([Uuid::new_v4(), Uuid::new_v4()], Uuid::new_v4());
    let post = async |client: &Client| {
        let (status, answer) = client
            .post("/api/metrics/batch", &batch(&users, team))
            .await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    };
    post(&client).await;
    let mut views: Vec<(String, LiveRows)> = Vec::new();
    for window in ["1m", "1h", "1d"] {
        for grouping in GROUPINGS {
            let query = format!("window={window}&group_by={grouping}");
            let mut live = connect(&pipeline, &query, &client).await;
            live.next().await.expect("a snapshot");
            if grouping == "user" {
                post(&client).await;
                post(&other).await;
            }
            shows_what_is_stored(&mut live, &client, &query).await;
            views.push((query, live.view));
        }
    }
    pipeline.stop().await;
    pipeline.resume().await;
    client.reconnect(&pipeline);
    for (query, view) in views {
        let resumed = format!("{query}&cursor={}", view.cursor);
        let mut live = connect(&pipeline, &resumed, &client).await;
        live.view = view;
        let gap = live.next().await;
        assert_eq!(
            gap,
            Some(json!({"type": "gap", "reason": "cursor_unknown"}))
        );
        live.next().await.expect("a snapshot");
        shows_what_is_stored(&mut live, &client, &query).await;
    }
    pipeline.stop().await;
}

/// Connects, once the log is read.
async fn connect(pipeline: &Pipeline, query: &str, client: &Client) -> LiveClient {
    eventually("live views are told", || async {
        match LiveClient::connect(pipeline.base(), query, &client.token).await {
            Ok(live) => Some(live),
            Err((status, problem)) => {
                assert_eq!((status, &problem["code"]), (503, &json!("live_warming")));
                None
            }
        }
    })
    .await
}
