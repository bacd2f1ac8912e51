//! From a reading to a message that somebody can believe.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::support::World;
use crate::health::HealthCheck;
use crate::job::Outcome;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Received = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// A receiver; gives its address. At `/elsewhere` it sends callers to itself.
async fn receiver() -> (String, Received) {
    let received = Received::default();
    let all = received.clone();
    let take = async move |headers: HeaderMap, body: String| {
        all.lock().unwrap().push((headers, body));
        StatusCode::NO_CONTENT
    };
    let elsewhere = async || (StatusCode::TEMPORARY_REDIRECT, [("location", "/")]);
    let router = Router::new()
        .route("/", post(take))
        .route("/elsewhere", post(elsewhere));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, received)
}

/// The messages about a condition, each after its signature was verified.
fn messages(received: &Received, condition: &str) -> Vec<(String, Value)> {
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let all = received.lock().unwrap();
    let read = all.iter().map(|(headers, body)| {
        let header = |name: &str| headers[name].to_str().unwrap();
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = header("webhook-signature").strip_prefix("v1,").unwrap();
        mac.verify_slice(&BASE64_STANDARD.decode(signature).unwrap())
            .unwrap();
        (id.to_owned(), serde_json::from_str::<Value>(body).unwrap())
    });
    read.filter(|(_, body)| body["data"]["condition"] == condition)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_delivered_signed_once_when_it_fires_and_once_when_it_is_resolved() {
    let world = World::new().await;
    let (address, received) = receiver().await;
    let check = async |gigabytes: &str, url: &str| {
        let config = world.config(&[
            ("ALERT_WEBHOOK_URL", url),
            ("ALERT_WEBHOOK_SECRET", SECRET),
            ("ALERT_DATABASE_GB", gigabytes),
        ]);
        let job = Arc::new(HealthCheck::new(&config).unwrap());
        world.by_hand(&config, job).await.unwrap()
    };
    // A redirection is no delivery, and the message is kept.
    let elsewhere = format!("{address}/elsewhere");
    assert_eq!(check("0.000001", &elsewhere).await, Outcome::Failed);
    assert!(received.lock().unwrap().is_empty());
    assert_eq!(check("0.000001", &address).await, Outcome::Succeeded);
    assert_eq!(check("0.000001", &address).await, Outcome::Succeeded);
    let told = messages(&received, "database_gb");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1["type"], "alert.firing");
    // There are no topics of this test's own, so Kafka cannot say how far consumers are.
    assert_eq!(messages(&received, "kafka_away").len(), 1);

    assert_eq!(check("1000", &address).await, Outcome::Succeeded);
    let told = messages(&received, "database_gb");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1].1["type"], "alert.resolved");
    assert!(told[0].0.starts_with("msg_") && told[0].0 != told[1].0);
    assert_eq!(
        world
            .number("select count(*) from flowmeter.alert_messages where delivered_at is null")
            .await,
        0
    );
}
