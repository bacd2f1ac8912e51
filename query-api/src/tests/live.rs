//! What live views say: over real connections, of deltas that the tests make up.

use std::time::Duration;

use platform::{auth::Role, clock};
use schemas::{
    EventKind, Timestamp, Watermarks, Window,
    event::Status,
    rollup::SeriesKind::{Agent, Command},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    live_streams::Serving,
    world::{Fact, OURS, THEIRS, World, body, execution, fact, id},
};
use crate::test_support::{Introduction, LiveClient};

/// A command of now, by a user.
pub(super) fn command(name: &str, user: u128) -> Fact {
    fact(
        &clock::now().to_string(),
        Command,
        name,
        execution(Status::Success, 5),
    )
    .by(id(user), None)
}

#[tokio::test]
async fn a_snapshot_is_followed_by_what_changes_and_nothing_of_others() {
    let serving = Serving::start().await;
    serving.deltas(OURS, &[command("build", 1), command("test", 2)]);
    serving.deltas(THEIRS, &[command("theirs", 1)]);
    for how in [
        Introduction::Header,
        Introduction::Protocol,
        Introduction::Message,
    ] {
        let token = serving.token(OURS, 60);
        let query = "window=1h&group_by=command";
        let mut client = LiveClient::connect_by(&serving.base, query, &token, how)
            .await
            .unwrap();
        let snapshot = client.next().await.unwrap();
        assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
        assert_eq!(
            (&snapshot["window"], &snapshot["watermark"]),
            (&json!("1h"), &Value::Null)
        );
        let before = client.view.sum("/commands/count");
        serving.deltas(THEIRS, &[command("theirs", 1)]);
        serving.deltas(OURS, &[command("build", 3)]);
        let delta = client.next().await.unwrap();
        assert_eq!(delta["type"], "delta", "{delta}");
        let rows = delta["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{delta}");
        assert_eq!(rows[0]["command_name"], "build");
        assert_eq!(client.view.sum("/commands/count"), before + 1);
        assert!(!format!("{:?}", client.view).contains("theirs"));
    }
}

#[tokio::test]
async fn a_broken_connection_goes_on_from_its_cursor() {
    let serving = Serving::start().await;
    let token = serving.token(OURS, 60);
    let query = "window=1h&group_by=command";
    serving.deltas(OURS, &[command("build", 1), command("test", 2)]);
    let mut steady = LiveClient::connect(&serving.base, query, &token)
        .await
        .unwrap();
    let mut broken = LiveClient::connect(&serving.base, query, &token)
        .await
        .unwrap();
    steady.next().await.unwrap();
    broken.next().await.unwrap();
    let view = broken.view.clone();
    drop(broken);
    serving.deltas(OURS, &[command("test", 2)]);
    assert!(steady.until(|view| view.sum("/commands/count") == 3).await);
    let resumed = format!("{query}&cursor={}", view.cursor);
    let mut client = LiveClient::connect(&serving.base, &resumed, &token)
        .await
        .unwrap();
    client.view = view.clone();
    let delta = client.next().await.unwrap();
    assert_eq!(delta["type"], "delta", "{delta}");
    assert_eq!(delta["rows"].as_array().unwrap().len(), 1, "{delta}");
    assert_eq!(client.view.rows(), steady.view.rows());

    // Of another view, another organization, another life of the memory; or no cursor at all.
    let theirs = serving.token(THEIRS, 60);
    for (query, token, reason) in [
        (
            format!("window=1h&cursor={}", view.cursor),
            &token,
            "cursor_of_another_view",
        ),
        (resumed.clone(), &theirs, "cursor_of_another_view"),
        (format!("{query}&cursor=nonsense"), &token, "cursor_unknown"),
    ] {
        let mut client = LiveClient::connect(&serving.base, &query, token)
            .await
            .unwrap();
        assert_eq!(
            client.next().await,
            Some(json!({"type": "gap", "reason": reason}))
        );
        assert_eq!(client.next().await.unwrap()["type"], "snapshot");
    }
    serving.live.forget();
    assert_eq!(
        steady.next().await,
        Some(json!({"type": "end", "code": "restarted"}))
    );
    let refused = LiveClient::connect(&serving.base, &resumed, &token)
        .await
        .err()
        .unwrap();
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (503, &json!("live_warming"))
    );
    serving.warm();
    let mut client = LiveClient::connect(&serving.base, &resumed, &token)
        .await
        .unwrap();
    assert_eq!(client.next().await.unwrap()["reason"], "cursor_unknown");
}

#[tokio::test]
async fn a_bucket_that_becomes_complete_is_told() {
    let serving = Serving::start().await;
    let token = serving.token(OURS, 60);
    let hour_ago = clock::now().saturating_add_seconds(-3600);
    let old = fact(
        &hour_ago.to_string(),
        Agent,
        "coder",
        execution(Status::Error, 5),
    );
    serving.deltas(OURS, &[old]);
    let mut client = LiveClient::connect(&serving.base, "window=1h", &token)
        .await
        .unwrap();
    let snapshot = client.next().await.unwrap();
    assert_eq!(snapshot["rows"][0]["complete"], false, "{snapshot}");
    let until = Window::H1.start(clock::now());
    serving.live.world().add_watermarks(0, watermark(until));
    let delta = client.next().await.unwrap();
    assert_eq!(delta["watermark"], until.to_string());
    assert_eq!(delta["rows"][0]["complete"], true, "{delta}");
    assert_eq!(delta["rows"][0]["agents"]["error"], 1);
}

fn watermark(until: Timestamp) -> Watermarks {
    Watermarks {
        sources: 1,
        partitions: 1,
        until: [((EventKind::CommandExecution, 0), until)].into(),
    }
}

#[tokio::test]
async fn streams_end_with_their_token_and_with_the_service() {
    let serving = Serving::start().await;
    let short = serving.token(OURS, 2);
    let mut client = LiveClient::connect(&serving.base, "", &short)
        .await
        .unwrap();
    assert_eq!(client.next().await.unwrap()["type"], "snapshot");
    assert_eq!(
        client.next().await,
        Some(json!({"type": "end", "code": "token_expired"}))
    );
    assert_eq!(client.next().await, None);
    assert_eq!(client.closed, Some(4401));

    let long = serving.token(OURS, 60);
    let mut client = LiveClient::connect(&serving.base, "", &long).await.unwrap();
    let mut events = serving.events("", &long, None).await;
    client.next().await.unwrap();
    events.next().await.unwrap();
    let ended = serving.end();
    assert_eq!(
        client.next().await,
        Some(json!({"type": "end", "code": "shutdown"}))
    );
    assert_eq!(client.next().await, None);
    assert_eq!(client.closed, Some(1001));
    let (_, end) = events.next().await.unwrap();
    assert_eq!(end, json!({"type": "end", "code": "shutdown"}));
    // The server has waited for them.
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn server_sent_events_say_the_same_and_go_on_after_the_last_id() {
    let serving = Serving::start().await;
    let token = serving.token(OURS, 60);
    let query = "window=1h&group_by=user";
    serving.deltas(OURS, &[command("build", 1)]);
    let mut events = serving.events(query, &token, None).await;
    let (first_id, snapshot) = events.next().await.unwrap();
    assert_eq!(snapshot["type"], "snapshot");
    assert_eq!(first_id, snapshot["cursor"]);
    serving.deltas(OURS, &[command("build", 2)]);
    let (_, delta) = events.next().await.unwrap();
    assert_eq!(delta["rows"][0]["user_id"], json!(id(2)));
    drop(events);
    let last = first_id.as_str().unwrap();
    let mut events = serving.events(query, &token, Some(last)).await;
    let (_, again) = events.next().await.unwrap();
    assert_eq!(again["type"], "delta", "{again}");
    assert!(
        again["rows"]
            .to_string()
            .contains(&id(2).unwrap().to_string()),
        "{again}"
    );
}

#[tokio::test]
async fn who_may_not_look_hears_why() {
    let serving = Serving::with_streams("2").await;
    let token = serving.token(OURS, 60);
    let refused = async |query: &str, token: &str| {
        let refused = LiveClient::connect(&serving.base, query, token).await;
        let (status, problem) = refused.err().unwrap();
        (
            status,
            problem["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        refused("", "no.token.atall").await,
        (401, "token_invalid".into())
    );
    assert_eq!(
        refused("window=2h", &token).await,
        (400, "invalid_query".into())
    );
    let mut client =
        LiveClient::connect_by(&serving.base, "", "no.token.atall", Introduction::Message)
            .await
            .unwrap();
    assert_eq!(
        client.next().await,
        Some(json!({"type": "end", "code": "token_invalid"}))
    );
    assert_eq!(client.next().await, None);
    assert_eq!(client.closed, Some(4401));

    // Neither a WebSocket nor events.
    let world = &serving.world;
    let response = world.send("/api/metrics/live", Some(&token)).await;
    assert_eq!(response.status(), 426);
    assert_eq!(world.send("/api/metrics/live", None).await.status(), 401);
    // The two streams that an organization may have in these tests.
    let first = LiveClient::connect(&serving.base, "", &token)
        .await
        .unwrap();
    let _second = LiveClient::connect(&serving.base, "", &token)
        .await
        .unwrap();
    assert_eq!(refused("", &token).await, (429, "too_many_streams".into()));
    drop(first);
    platform::test_support::eventually(Duration::from_secs(30), "there is room again", || async {
        LiveClient::connect(&serving.base, "", &token).await.ok()
    })
    .await;
}

#[tokio::test]
async fn the_open_bucket_is_told_once_to_whoever_asks() {
    let world = World::with(&[]).await;
    let token = world.token(OURS, Role::Viewer);
    let ask = async |path: &str| {
        let response = world
            .send(&format!("/api/metrics/real-time/{path}"), Some(&token))
            .await;
        (response.status().as_u16(), body(response).await)
    };
    let (status, warming) = ask("1d").await;
    assert_eq!((status, &warming["code"]), (503, &json!("live_warming")));
    let long_ago = clock::now().saturating_add_seconds(-2 * 86_400);
    world.live.world().is_whole_from(long_ago);
    let facts = [command("build", 1), command("build", 2)];
    let deltas = facts.map(|fact| (Window::M1.start(fact.at), fact.series, fact.rollup));
    world.live.world().add(OURS, deltas.into(), clock::now());
    let (status, answer) = ask("1d?group_by=user").await;
    assert_eq!(status, 200, "{answer}");
    let users: Vec<Value> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["user_id"].clone())
        .collect();
    assert_eq!(users, [json!(id(1)), json!(id(2))]);
    assert_eq!(ask("2h").await.0, 400);
    assert_eq!(ask("1m?cursor=x").await.0, 400);
    let nobody = world.token(Uuid::from_u128(0xc), Role::Viewer);
    let response = world.send("/api/metrics/real-time/1d", Some(&nobody)).await;
    assert_eq!(body(response).await["data"], json!([]));
}
