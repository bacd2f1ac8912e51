//! From 202 to the push: how long after its acceptance an event shows in a live view.
//!
//! An open loop from outside: batches are posted when they are due, whatever became of those
//! before, each with one event that is looked for in a view over a WebSocket. A delay is the
//! time from the answer 202 to the message with the row that holds the event, both as this
//! process sees them; what is seen before the answer has none.

mod watch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use benches::harness::token;
use clap::Parser;
use hdrhistogram::Histogram;
use platform::config::{Env, JwtConfig};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep_until};
use uuid::Uuid;

/// Distinct names of the events that are looked for, so that the view stays small.
const NAMES: u64 = 500;
/// How long the last events are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measure the time from an event's acceptance to its push. Needs JWT_SECRET, as the services
/// have it, and services without rate limits.
#[derive(Debug, Parser)]
struct Args {
    /// Where the services answer.
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    url: String,
    /// Events a second.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Seconds that count.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds before, which do not.
    #[arg(long, default_value_t = 5)]
    warm_up: u64,
    /// Events of a batch.
    #[arg(long, default_value_t = 10)]
    batch: u64,
}

/// When an event was accepted and when it was seen, by its number.
#[derive(Debug, Default)]
struct Moments {
    accepted: HashMap<u64, Instant>,
    seen: HashMap<u64, Instant>,
}

type Shared = Arc<Mutex<Moments>>;

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the summary is the output")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut env = Env::from_process();
    let jwt = JwtConfig::from_env(&mut env);
    env.finish()?;
    let token = token::of_admin(&jwt, Uuid::new_v4())?;
    let (probes, moments) = (Uuid::new_v4(), Shared::default());
    let watching = watch::start(&args.url, &token, probes, moments.clone()).await?;
    let batches = post(&args, &token, probes, &moments).await?;
    let first = args.warm_up * args.rate / args.batch;
    let measured = measure(&moments, first, batches).await?;
    watching.abort();
    let millis = |q| measured.value_at_quantile(q) as f64 / 1000.0;
    println!(
        "202 to push at {} events/s, {} events: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        args.rate,
        measured.len(),
        millis(0.5),
        millis(0.95),
        millis(0.99),
        measured.max() as f64 / 1000.0
    );
    Ok(())
}

/// Posts when due; gives how many batches there were.
async fn post(args: &Args, token: &str, probes: Uuid, moments: &Shared) -> anyhow::Result<u64> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/api/metrics/batch", args.url);
    let users: Vec<Uuid> = (0..100).map(|_| Uuid::new_v4()).collect();
    let batches = (args.warm_up + args.seconds) * args.rate / args.batch;
    let began = tokio::time::Instant::now();
    let mut posts = JoinSet::new();
    for number in 0..batches {
        let due = Duration::from_micros(1_000_000 * number * args.batch / args.rate);
        sleep_until(began + due).await;
        let request = http.post(&url).bearer_auth(token);
        let request = request.json(&batch(number, args.batch, &users, probes));
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

fn batch(number: u64, size: u64, users: &[Uuid], probes: Uuid) -> Value {
    let command = |index: u64| {
        let user = users[((number * size + index) % users.len() as u64) as usize];
        json!({"user_id": user, "command_name": format!("command {}", index % 20),
            "execution_time_ms": 100 + index, "status": "success"})
    };
    let mut commands: Vec<Value> = (1..size).map(command).collect();
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
