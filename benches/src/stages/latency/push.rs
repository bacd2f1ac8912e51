//! From 202 to the push: how long after its acceptance an event shows in a live view.
//!
//! An open loop from outside: batches are posted when they are due, whatever became of those
//! before, each with one event that is looked for in a view over a WebSocket. A delay is the
//! time from the answer 202 to the message with the row that holds the event, both as this
//! process sees them; what is seen before the answer has none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep_until};
use uuid::Uuid;

use super::watch;
use crate::harness::{Run, process::CpuClock, statistics::latencies};

/// Distinct names of the events that are looked for, so that the view stays small.
pub(super) const NAMES: u64 = 500;
/// Events of a batch, the last of which is looked for.
const BATCH: u64 = 10;
/// How long the last events are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to post, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Where the services answer.
    pub(super) url: String,
    /// Of an administrator.
    pub(super) token: String,
    /// Events a second.
    pub(super) rate: u64,
    /// Seconds that count.
    pub(super) seconds: u64,
    /// Seconds before, which do not.
    pub(super) warm_up: u64,
}

/// When an event was accepted and when it was seen, by its number.
#[derive(Debug, Default)]
pub(super) struct Moments {
    accepted: HashMap<u64, Instant>,
    pub(super) seen: HashMap<u64, Instant>,
}

/// Of both sides.
pub(super) type Shared = Arc<Mutex<Moments>>;

/// Runs a plan; delays are in `values`, in milliseconds.
///
/// # Errors
/// If an answer is not 202, or an event is not pushed.
pub(super) fn run(plan: &Plan) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measured(plan))
}

async fn measured(plan: &Plan) -> anyhow::Result<Run> {
    let (probes, moments) = (Uuid::new_v4(), Shared::default());
    let watching = watch::start(&plan.url, &plan.token, probes, moments.clone()).await?;
    let clock = CpuClock::own();
    let batches = post(plan, probes, &moments).await?;
    let first = plan.warm_up * plan.rate / BATCH;
    let delays = measure(&moments, first, batches).await?;
    watching.abort();
    Ok(Run {
        events: plan.seconds * plan.rate,
        seconds: plan.seconds as f64,
        parts: vec![clock.part("load")],
        values: latencies(&delays),
    })
}

/// Posts when due; gives how many batches there were.
async fn post(plan: &Plan, probes: Uuid, moments: &Shared) -> anyhow::Result<u64> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/api/metrics/batch", plan.url);
    let users: Vec<Uuid> = (0..100).map(|_| Uuid::new_v4()).collect();
    let batches = (plan.warm_up + plan.seconds) * plan.rate / BATCH;
    let began = tokio::time::Instant::now();
    let mut posts = JoinSet::new();
    for number in 0..batches {
        let due = Duration::from_micros(1_000_000 * number * BATCH / plan.rate);
        sleep_until(began + due).await;
        let request = http.post(&url).bearer_auth(&plan.token);
        let request = request.json(&batch(number, &users, probes));
        let moments = moments.clone();
        posts.spawn(async move {
            let response = request.send().await?;
            let status = response.status();
            let accepted = Instant::now();
            ensure!(
                status.as_u16() == 202,
                "answered {status}: {}",
                response.text().await?
            );
            let mut moments = moments.lock().expect("nobody panics");
            moments.accepted.insert(number, accepted);
            Ok(())
        });
    }
    while let Some(posted) = posts.join_next().await {
        posted??;
    }
    Ok(batches)
}

fn batch(number: u64, users: &[Uuid], probes: Uuid) -> Value {
    let command = |index: u64| {
        let user = users[((number * BATCH + index) % users.len() as u64) as usize];
        json!({"user_id": user, "command_name": format!("command {}", index % 20),
            "execution_time_ms": 100 + index, "status": "success"})
    };
    let mut commands: Vec<Value> = (1..BATCH).map(command).collect();
    let name = format!("probe {}", number % NAMES);
    commands.push(
        json!({"user_id": users[0], "team_id": probes, "command_name": name,
        "execution_time_ms": 1, "status": "success"}),
    );
    json!({ "command_executions": commands })
}

/// The delays in microseconds of the batches from `first` on, once all were seen.
async fn measure(moments: &Shared, first: u64, batches: u64) -> anyhow::Result<Histogram<u64>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = moments.lock().expect("nobody panics").seen.len() as u64;
        if seen >= batches {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "only {seen} of {batches} events were pushed"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let moments = moments.lock().expect("nobody panics");
    let mut delays = Histogram::<u64>::new(3)?;
    for number in first..batches {
        let accepted = moments.accepted.get(&number).context("it was accepted")?;
        let seen = moments.seen.get(&number).context("it was seen")?;
        let delay = seen.saturating_duration_since(*accepted);
        delays.record(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX))?;
    }
    Ok(delays)
}
