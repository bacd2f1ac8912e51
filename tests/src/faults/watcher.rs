//! Somebody who looks at a live view, whatever happens to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use query_api::test_support::{LiveClient, LiveRows};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::live::sorted;
use crate::pipeline::eventually;

/// A client that comes back with its cursor as often as it loses its connection.
pub(crate) struct Watcher {
    base: String,
    token: String,
    query: &'static str,
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    view: LiveRows,
    connections: u64,
    gaps: u64,
}

impl Watcher {
    /// Looks at a view of the query API on a port; cuts its connection itself after `patience`.
    pub(crate) fn start(port: u16, query: &'static str, token: &str, patience: Duration) -> Self {
        let base = format!("http://127.0.0.1:{port}");
        let seen = Arc::<Mutex<Seen>>::default();
        let watching = watch(
            base.clone(),
            query,
            token.to_owned(),
            patience,
            seen.clone(),
        );
        Self {
            watching: tokio::spawn(watching),
            token: token.to_owned(),
            base,
            query,
            seen,
        }
    }

    /// Waits until it has a view, and so a cursor to come back with.
    pub(crate) async fn has_a_view(&self) {
        let what = format!("a view of {} is shown", self.query);
        let shown = || async {
            assert!(!self.watching.is_finished(), "the watcher failed");
            let seen = self.seen.lock().unwrap();
            (!seen.view.cursor.is_empty()).then_some(())
        };
        eventually(&what, shown).await;
    }

    /// Waits until it sees what the database has, now that nothing changes any more. Returns how
    /// often it connected, and how often it was told a gap.
    pub(crate) async fn ends_with_what_is_stored(self) -> (u64, u64) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let what = format!("a view of {} shows what is stored", self.query);
        eventually(&what, || async {
            assert!(!self.watching.is_finished(), "the watcher failed");
            let view = self.seen.lock().unwrap().view.clone();
            let end = (Utc::now() + TimeDelta::hours(1)).format("%FT%TZ");
            let url = format!(
                "{}/api/metrics/aggregated?{}&start_date={}&end_date={end}&limit=10000",
                self.base,
                self.query.replace("window=", "aggregation_window="),
                view.from
            );
            let answer = http.get(url).bearer_auth(&self.token).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            let rows = answer["data"].as_array()?.clone();
            assert!(answer["next_cursor"].is_null(), "more rows than a page");
            (!rows.is_empty() && sorted(view.rows()) == sorted(rows)).then_some(())
        })
        .await;
        self.watching.abort();
        let seen = self.seen.lock().unwrap();
        (seen.connections, seen.gaps)
    }
}

async fn watch(
    base: String,
    query: &str,
    token: String,
    patience: Duration,
    seen: Arc<Mutex<Seen>>,
) {
    loop {
        let view = seen.lock().unwrap().view.clone();
        let resumed = format!("{query}&cursor={}", view.cursor);
        let asked = if view.cursor.is_empty() {
            query
        } else {
            &resumed
        };
        let Ok(mut client) = LiveClient::connect(&base, asked, &token).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        seen.lock().unwrap().connections += 1;
        client.view = view;
        let looking = async {
            while let Some(message) = client.next().await {
                let mut seen = seen.lock().unwrap();
                seen.gaps += u64::from(message["type"] == "gap");
                seen.view = client.view.clone();
            }
        };
        // Whether it is lost or cut: the next connection goes on from what was seen.
        let _ = timeout(patience, looking).await;
    }
}
