//! Live views on a real server, and what its clients may do to it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use platform::{
    auth::{Identity, Role, issue},
    clock,
    config::{Env, HttpConfig},
    http::{layers, server},
    lifecycle::Shutdown,
};
use schemas::Window;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

use super::{
    live::command,
    world::{Fact, OURS, World},
};
use crate::{live::Live, test_support::LiveClient};

/// The service on a port, with live views that hold what a test says.
pub(super) struct Serving {
    pub(super) world: World,
    pub(super) live: Live,
    pub(super) base: String,
    shutdown: Shutdown,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Serving {
    /// With as many streams as a test may want.
    pub(super) async fn start() -> Self {
        Self::with_streams("100").await
    }

    pub(super) async fn with_streams(streams: &'static str) -> Self {
        let shutdown = Shutdown::new();
        let settings = [("LIVE_MAX_ORGANIZATION_CONNECTIONS", streams)];
        let world = World::live(&settings, shutdown.clone()).await;
        let live = world.live.clone();
        let mut env = Env::from_pairs([("PORT", "0")]);
        let config = HttpConfig::from_env(&mut env);
        let listener = server::bind(&config).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = layers::standard(world.app.clone(), "query", &config);
        let serving = server::serve(listener, router, config, shutdown.clone());
        let serving = Self {
            world,
            live,
            base,
            shutdown,
            ended: tokio::spawn(serving),
        };
        serving.warm();
        serving
    }

    /// As if the log had been read.
    pub(super) fn warm(&self) {
        let long_ago = clock::now().saturating_add_seconds(-3 * 86_400);
        self.live.world().is_whole_from(long_ago);
    }

    /// As if these deltas had been read.
    pub(super) fn deltas(&self, organization: Uuid, facts: &[Fact]) {
        let delta = |fact: &Fact| {
            let Fact { at, series, rollup } = fact.clone();
            (Window::M1.start(at), series, rollup)
        };
        let deltas = facts.iter().map(delta).collect();
        self.live.world().add(organization, deltas, clock::now());
    }

    /// A token for so many seconds.
    pub(super) fn token(&self, organization_id: Uuid, seconds: u64) -> String {
        let identity = Identity {
            user_id: Uuid::from_u128(1),
            organization_id,
            role: Role::Viewer,
            team_ids: None,
        };
        issue(&self.world.jwt, &identity, Duration::from_secs(seconds)).unwrap()
    }

    pub(super) async fn events(&self, query: &str, token: &str, last: Option<&str>) -> Events {
        let mut socket = TcpStream::connect(self.base.trim_start_matches("http://"))
            .await
            .unwrap();
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!(
            "GET /api/metrics/live?{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {token}\r\n{last}\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        Events(BufReader::new(socket))
    }

    /// Ends the service.
    pub(super) fn end(self) -> JoinHandle<anyhow::Result<()>> {
        self.shutdown.trigger();
        self.ended
    }
}

/// Server-Sent Events as they come.
pub(super) struct Events(BufReader<TcpStream>);

impl Events {
    /// The next event: its id (null if it has none) and its data.
    pub(super) async fn next(&mut self) -> Option<(Value, Value)> {
        let mut id = Value::Null;
        loop {
            let mut line = String::new();
            let read = timeout(Duration::from_secs(60), self.0.read_line(&mut line)).await;
            if read.expect("an event in a minute").unwrap() == 0 {
                return None;
            }
            if let Some(found) = line.strip_prefix("id: ") {
                id = json!(found.trim_end());
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((id, serde_json::from_str(data).unwrap()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_for_a_while_gets_a_gap_and_all_rows() {
    let serving = Serving::start().await;
    let token = serving.token(OURS, 120);
    let query = "window=1h&group_by=user&buckets=1";
    let users = |round: u64| -> Vec<Fact> {
        let name = format!("round {round}");
        (1..=4000).map(|user| command(&name, user)).collect()
    };
    let mut slow = LiveClient::connect(&serving.base, query, &token)
        .await
        .unwrap();
    slow.next().await.unwrap();
    // Megabytes each: more than the sockets between them hold.
    for round in 1..=4 {
        serving.deltas(OURS, &users(round));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut types = BTreeSet::new();
    while slow.view.sum("/commands/count") < 4 * 4000 {
        let message = slow.next().await.expect("it was not cut");
        types.insert(message["type"].as_str().unwrap().to_owned());
        if message["type"] == "gap" {
            assert_eq!(message["reason"], "slow_client");
        }
    }
    assert!(types.contains("gap"), "{types:?}");
    let mut quick = LiveClient::connect(&serving.base, query, &token)
        .await
        .unwrap();
    quick.next().await.unwrap();
    assert_eq!(slow.view.rows(), quick.view.rows());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_are_told_the_same() {
    let serving = Serving::with_streams("1000").await;
    let token = serving.token(OURS, 300);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let hundred = (0..100).map(|_| LiveClient::connect(&serving.base, "window=1h", &token));
        clients.extend(join_all(hundred).await.into_iter().map(Result::unwrap));
    }
    for round in 0..20 {
        serving.deltas(OURS, &[command("build", round)]);
    }
    let told = join_all(clients.iter_mut().map(async |client| {
        assert!(client.until(|view| view.sum("/commands/count") == 20).await);
        client.view.rows()
    }))
    .await;
    assert_eq!(told.len(), 1000);
    assert!(told.iter().all(|rows| *rows == told[0]));
}
