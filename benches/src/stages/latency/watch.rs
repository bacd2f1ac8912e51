//! The view that events are looked for in.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use query_api::test_support::LiveClient;
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::push::{NAMES, Shared};

/// How long the service may still be reading the log.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects, and notes from then on when each event is seen.
pub(super) async fn start(
    url: &str,
    token: &str,
    probes: Uuid,
    moments: Shared,
) -> anyhow::Result<JoinHandle<()>> {
    let query = format!("window=1d&group_by=command&team_id={probes}");
    let deadline = Instant::now() + PATIENCE;
    let mut client = loop {
        match LiveClient::connect(url, &query, token).await {
            Ok(client) => break client,
            Err((503, _)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err((status, problem)) => bail!("/live answered {status}: {problem}"),
        }
    };
    client.next().await.ok_or_else(|| anyhow!("no snapshot"))?;
    Ok(tokio::spawn(async move {
        let mut counts: HashMap<u64, u64> = HashMap::new();
        while let Some(message) = client.next().await {
            let now = Instant::now();
            let mut moments = moments.lock().expect("nobody panics");
            for row in message["rows"].as_array().into_iter().flatten() {
                let Some((name, count)) = probe(row) else {
                    continue;
                };
                let known = counts.entry(name).or_default();
                for round in *known..count {
                    moments.seen.insert(round * NAMES + name, now);
                }
                *known = count.max(*known);
            }
        }
    }))
}

/// The number of a probe's name, and how often it was counted.
fn probe(row: &Value) -> Option<(u64, u64)> {
    let name = row["command_name"].as_str()?.strip_prefix("probe ")?;
    Some((name.parse().ok()?, row["commands"]["count"].as_u64()?))
}
