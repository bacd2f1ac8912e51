//! `flowmeter load`: a generated stream of events, sent as fast as asked.

pub mod batch;
mod client;
pub mod generator;
mod receipts;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use platform::config::{Env, JwtConfig};
use platform::lifecycle::Shutdown;
use reqwest::Url;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant as Deadline, sleep_until};
use uuid::Uuid;

use self::client::BatchClient;
use self::generator::{Generator, Shape};
use self::receipts::Receipts;
pub use self::report::Report;
use crate::token::admin_token;

/// Arguments of `flowmeter load`.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Where Flowmeter is
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    pub url: Url,
    /// Token of an administrator; otherwise one is made with JWT_SECRET for --organization
    #[arg(long, env = "FLOWMETER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Organization of the token that is made; a new one if not given
    #[arg(long)]
    pub organization: Option<Uuid>,
    /// How many events to send
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// Equal seeds give equal events but for their ids and, unless --until is given, times
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Events per second at most; 0: as many as possible
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
    /// Events per request
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub batch: u64,
    /// Requests at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub concurrency: u64,
    /// Users who send
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub users: u64,
    /// Teams they are in
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub teams: u64,
    /// Hours before --until that the events' times are spread over
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    pub hours: u64,
    /// File for the ids of accepted events, one a line, to compare with what is stored
    #[arg(long, value_name = "FILE")]
    pub receipts: Option<PathBuf>,
    /// Latest time of an event, RFC 3339; now if not given
    #[arg(long)]
    pub until: Option<DateTime<Utc>>,
}

/// Sends, shows progress, and prints a summary; ^C ends it early with the summary so far.
#[allow(clippy::print_stdout, reason = "the summary is the output")]
pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let token = token(&args)?;
    let shutdown = Shutdown::on_signals()?;
    let progress = ProgressBar::new(args.events).with_style(ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {pos}/{len} events, {per_sec}, {eta} left",
    )?);
    let report = send(&args, &token, &progress, &shutdown).await?;
    progress.finish_and_clear();
    println!("{report}");
    anyhow::ensure!(
        report.accepted == args.events,
        "{} of {} events were not accepted{}",
        args.events - report.accepted,
        args.events,
        report
            .first_refusal
            .map(|r| format!(": {r}"))
            .unwrap_or_default()
    );
    Ok(())
}

fn token(args: &LoadArgs) -> anyhow::Result<String> {
    if let Some(token) = &args.token {
        return Ok(token.clone());
    }
    let mut env = Env::from_process();
    let jwt = JwtConfig::from_env(&mut env);
    env.finish()
        .context("give --token, or JWT_SECRET to make one")?;
    admin_token(
        &jwt,
        args.organization.unwrap_or_else(Uuid::new_v4),
        Uuid::new_v4(),
    )
}

/// Sends the stream that `args` describe until its end or `shutdown`.
///
/// # Errors
/// When nothing could be sent at all: a wrong address or token.
pub async fn send(
    args: &LoadArgs,
    token: &str,
    progress: &ProgressBar,
    shutdown: &Shutdown,
) -> anyhow::Result<Report> {
    let shape = Shape {
        seed: args.seed,
        users: args.users,
        teams: args.teams,
        until: args.until.unwrap_or_else(Utc::now),
        span: Duration::from_secs(args.hours * 3600),
    };
    // One generator behind a lock: the stream is the same whatever the concurrency.
    let generator = Arc::new(Mutex::new(Generator::new(&shape)));
    let receipts = args.receipts.as_deref().map(Receipts::create).transpose()?;
    let client = Arc::new(BatchClient::new(&args.url, token, receipts)?);
    let taken = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..args.concurrency {
        let (generator, client, taken) = (generator.clone(), client.clone(), taken.clone());
        let (progress, shutdown) = (progress.clone(), shutdown.clone());
        let (events, size, rate) = (args.events, args.batch, args.rate);
        senders.spawn(async move {
            let mut report = Report::default();
            while !shutdown.is_triggered() {
                let (batch, first, count) = {
                    let mut generator = generator.lock().await;
                    let first = taken.load(Ordering::Relaxed);
                    let count = size.min(events - first);
                    taken.store(first + count, Ordering::Relaxed);
                    (generator.batch(count), first, count)
                };
                if count == 0 {
                    break;
                }
                if let Some(after) = (first * 1_000_000).checked_div(rate) {
                    let due = Deadline::from_std(began + Duration::from_micros(after));
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = shutdown.triggered() => break,
                    }
                }
                client.send(batch, &mut report, &shutdown).await;
                progress.inc(count);
            }
            report
        });
    }
    let mut report = Report::default();
    while let Some(sender) = senders.join_next().await {
        report.merge(&sender?);
    }
    report.elapsed = began.elapsed();
    Arc::into_inner(client)
        .context("a sender is left")?
        .finish()?;
    Ok(report)
}
