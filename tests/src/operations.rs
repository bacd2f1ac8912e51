//! What an operator relies on.

use platform::auth::Role;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_again_changes_nothing() {
    let mut pipeline = Pipeline::start().await;
    flowmeter::migrate::run(&pipeline.migrate_config())
        .await
        .unwrap();
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_kinds_are_stored_and_health_and_metrics_tell() {
    let mut pipeline = Pipeline::start().await;
    let client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let user = Uuid::new_v4();
    let batch = json!({
        "command_executions": [{"user_id": user, "command_name": "build", "execution_time_ms": 5,
            "status": "error", "command_args": {"a": [1.5]}, "error_message": "no", "context": {}}],
        "agent_interactions": [{"user_id": user, "agent_name": "coder", "interaction_type": "chat",
            "execution_time_ms": 5, "status": "success", "cost_usd": 0.1, "input_tokens": 3,
            "model": "m", "metadata": {"k": "v"}}],
        "productivity_metrics": [{"metric_type": "error_rate", "metric_value": 0.5}],
        "user_sessions": [{"user_id": user, "session_id": "s", "kind": "started", "agents_used": ["a", "b"]}],
    });
    let (status, answer) = client.post("/api/metrics/batch", &batch).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(answer["accepted"], 4);
    eventually("all kinds are stored", || async {
        let rows = pipeline
            .number(
                "select (select count(*) from flowmeter.command_executions) \
                 + (select count(*) from flowmeter.agent_interactions) \
                 + (select count(*) from flowmeter.productivity_metrics) \
                 + (select count(*) from flowmeter.user_sessions)",
            )
            .await;
        (rows == 4).then_some(())
    })
    .await;
    let args: String =
        sqlx::query_scalar("select command_args::text from flowmeter.command_executions")
            .fetch_one(&pipeline.pool)
            .await
            .unwrap();
    assert_eq!(args, r#"{"a": [1.5]}"#);
    eventually("everything is healthy", || async {
        let (status, _) = client.get("/api/metrics/health").await;
        (status == StatusCode::OK).then_some(())
    })
    .await;
    let (status, metrics) = client.get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let metrics = metrics.as_str().unwrap();
    for name in [
        "flowmeter_events_accepted_total",
        "flowmeter_sink_rows_total",
        "flowmeter_build_info",
    ] {
        assert!(metrics.contains(name), "{name} is missing");
    }
    let (status, api) = client.get("/api/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    for path in [
        "/api/metrics/commands",
        "/api/metrics/batch",
        "/api/metrics/aggregated",
    ] {
        assert!(api["paths"][path].is_object(), "{path} is not described");
    }
    let (status, page) = client.get("/api/docs/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.as_str().unwrap().contains("swagger-ui"));
    pipeline.stop().await;
}
