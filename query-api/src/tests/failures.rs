//! What is refused, and what is said when something is broken.

use std::time::Duration;

use axum::{body::Body, http::Request};
use platform::{
    auth::Role,
    config::{Env, HttpConfig},
    database,
    http::{health::Health, layers},
    lifecycle::Shutdown,
    test_support::TestDatabase,
};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt;

use super::world::{OURS, THEIRS, World, body};
use crate::{QueryConfig, aggregated, health, start};

#[tokio::test]
async fn without_a_token_there_is_no_answer() {
    let world = World::with(&[]).await;
    let response = world.send(aggregated::PATH, None).await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(body(response).await["code"], "token_missing");
    // Faults in the query do not come before the token.
    let response = world
        .send("/api/metrics/aggregated?x=1", Some("a.b.c"))
        .await;
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn all_faults_of_a_query_are_answered_together() {
    let world = World::with(&[]).await;
    let (status, problem) = world
        .ask(
            OURS,
            "start_date=soon&limit=0&organization_id=x&group_by=user&group_by=team",
        )
        .await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_query")));
    let errors = problem["errors"].as_array().unwrap();
    let told: Vec<_> = errors
        .iter()
        .map(|e| json!([e["pointer"], e["code"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["/organization_id", "unknown_parameter"]),
            json!(["/group_by", "duplicate"]),
            json!(["/start_date", "format"]),
            json!(["/limit", "range"]),
        ]
    );
}

#[tokio::test]
async fn a_query_in_json_is_refused_for_what_it_is_and_for_all_that_is_wrong_with_it() {
    let world = World::with(&[]).await;
    let token = world.token(OURS, Role::Viewer);
    let post = async |media_type: &str, text: &str| {
        let request = Request::post(aggregated::QUERY_PATH)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", media_type)
            .body(Body::from(text.to_owned()))
            .unwrap();
        let response = world.app.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), body(response).await)
    };
    const JSON: &str = "application/json";
    let too_long = format!("{{\"tz\": \"{}\"}}", "x".repeat(65_536));
    for (media_type, text, status, code) in [
        ("text/plain", "{}", 415, "unsupported_media_type"),
        (JSON, "{", 400, "malformed_json"),
        (JSON, "{} {}", 400, "malformed_json"),
        (JSON, &too_long, 413, "payload_too_large"),
    ] {
        let (found, problem) = post(media_type, text).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)));
    }
    let faulty = r#"{"limit": 0, "filters": {"models": [""]}, "colour": 1, "window": "1h"}"#;
    let (status, problem) = post(JSON, faulty).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_query")));
    let errors = problem["errors"].as_array().unwrap();
    let places: Vec<_> = errors.iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(places, ["/filters/models/0", "/limit", "/colour"]);
    let (status, answer) = post(JSON, r#"{"group_by": "model"}"#).await;
    assert_eq!((status, &answer["group_by"]), (200, &json!("model")));
}

#[tokio::test]
async fn health_needs_no_token_and_a_lost_database_is_told() {
    let world = World::with(&[]).await;
    let response = world.send(health::PATH, None).await;
    assert_eq!(response.status(), 200);
    let report = body(response).await;
    assert_eq!(report["status"], "ok");
    assert_eq!(report["checks"]["database"]["status"], "ok");

    world.pool.close().await;
    // Longer than a check's result is kept.
    tokio::time::sleep(platform::http::health::KEPT).await;
    let response = world.send(health::PATH, None).await;
    assert_eq!(response.status(), 503);
    let report = body(response).await;
    assert_eq!(report["status"], "degraded");
    assert_eq!(report["checks"]["database"]["status"], "down");

    let token = world.token(OURS, Role::Admin);
    let response = world.send(aggregated::PATH, Some(&token)).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(body(response).await["code"], "database_unavailable");
}

#[tokio::test]
async fn a_query_that_the_database_cancels_is_a_504() {
    let database = TestDatabase::create().await;
    let sink = database.pool(database::Role::Sink).await;
    let options = database
        .url()
        .options_for(database::Role::Api, None)
        .unwrap()
        .options([("statement_timeout", "200")]);
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options);
    let world = World::over(database, pool);
    let mut blocking = sink.begin().await.unwrap();
    sqlx::query("lock table flowmeter.rollups_15m in access exclusive mode")
        .execute(&mut *blocking)
        .await
        .unwrap();
    let (status, problem) = world.ask(OURS, "").await;
    assert_eq!((status, &problem["code"]), (504, &json!("query_timeout")));
    blocking.rollback().await.unwrap();
    // The one connection is of use again.
    assert_eq!(world.ask(OURS, "").await.0, 200);
}

#[tokio::test]
async fn who_reads_too_often_is_told_how_long_to_wait() {
    let database = TestDatabase::create().await;
    let pool = database.pool(database::Role::Api).await;
    let mut world = World::limited(database, pool, "2");
    let http = HttpConfig::from_env(&mut Env::from_pairs([("PORT", "0")]));
    world.app = layers::standard(world.app, "query", &http);
    let ours = world.token(OURS, Role::Viewer);
    for (path, status, left) in [("", 200, 1), ("?limit=none", 400, 0)] {
        let path = format!("{}{path}", aggregated::PATH);
        let answer = world.send(&path, Some(&ours)).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["ratelimit-policy"], r#""read";q=2;w=60"#);
        let standing = answer.headers()["ratelimit"].to_str().unwrap();
        let start = format!(r#""read";r={left};t="#);
        assert!(standing.starts_with(&start), "{standing}");
    }
    let answer = world.send(aggregated::PATH, Some(&ours)).await;
    assert_eq!(answer.status(), 429);
    let wait = answer.headers()["retry-after"].to_str().unwrap();
    let standing = answer.headers()["ratelimit"].to_str().unwrap();
    assert_eq!(standing, format!(r#""read";r=0;t={wait}"#));
    assert!((1..=30).contains(&wait.parse().unwrap()), "{wait}");
    let problem = body(answer).await;
    assert_eq!(problem["code"], "rate_limited");
    assert_eq!(problem["violated-policies"], json!(["read"]));

    let theirs = world.token(THEIRS, Role::Viewer);
    assert_eq!(
        world.send(aggregated::PATH, Some(&theirs)).await.status(),
        200
    );
    // What is refused for its token counts nowhere and has no limits to tell of.
    let answer = world.send(aggregated::PATH, None).await;
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().get("ratelimit").is_none());
}

fn config(database: &TestDatabase) -> QueryConfig {
    let mut env = Env::from_pairs([
        ("DATABASE_URL", database.url_text()),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        // Nothing listens there.
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1"),
    ]);
    let config = QueryConfig::from_env(&mut env);
    env.finish().unwrap();
    assert_eq!(config.slow_query, Duration::from_secs(1));
    config
}

#[tokio::test]
async fn it_starts_with_the_right_role() {
    let database = TestDatabase::create().await;
    let register = Health::new("query-api", "0.0.0");
    let started = start(&config(&database), None, &register, Shutdown::new()).await;
    assert!(started.is_ok());
    assert!(register.report().await.checks.contains_key("database"));
}

#[tokio::test]
async fn without_kafka_all_is_answered_but_live_views() {
    let database = TestDatabase::create().await;
    let pool = database.pool(database::Role::Api).await;
    let register = Health::new("query-api", "0.0.0");
    let shutdown = Shutdown::new();
    let config = config(&database);
    let mut world = World::over(database, pool);
    world.app = start(&config, None, &register, shutdown.clone())
        .await
        .unwrap();
    let token = world.token(OURS, Role::Viewer);
    assert_eq!(world.ask(OURS, "").await.0, 200);
    let response = world.send("/api/metrics/real-time/1m", Some(&token)).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(body(response).await["code"], "live_warming");
    let health = world.send(crate::health::PATH, None).await;
    let report = body(health).await;
    assert_eq!(report["status"], "degraded");
    assert_ne!(report["checks"]["live"]["status"], "ok", "{report}");
    assert_eq!(report["checks"]["database"]["status"], "ok", "{report}");
    shutdown.trigger();
}

#[tokio::test]
async fn it_refuses_to_start_when_its_role_can_read_the_tables() {
    let database = TestDatabase::create().await;
    let owner = database.pool(database::Role::Owner).await;
    sqlx::query("grant select on flowmeter.rollups_1h to flowmeter_api")
        .execute(&owner)
        .await
        .unwrap();
    let register = Health::new("query-api", "0.0.0");
    let refused = start(&config(&database), None, &register, Shutdown::new()).await;
    let error = format!("{:#}", refused.unwrap_err());
    assert!(error.contains("may read 1 tables directly"), "{error}");
}

#[tokio::test]
async fn waiting_for_a_lost_database_ends_with_the_process() {
    let mut env = Env::from_pairs([
        // Nothing listens there.
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1"),
    ]);
    let config = QueryConfig::from_env(&mut env);
    env.finish().unwrap();
    let (register, shutdown) = (Health::new("query-api", "0.0.0"), Shutdown::new());
    let ending = shutdown.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ending.trigger();
    });
    let error = start(&config, None, &register, shutdown).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("before the database was reached"),
        "{error}"
    );
}
