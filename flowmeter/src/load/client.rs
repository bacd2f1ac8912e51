//! Posting batches, and trying again what may be tried again.

use std::time::{Duration, Instant};

use anyhow::Context;
use platform::lifecycle::Shutdown;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::generator::Batch;
use super::report::Report;

/// How often a request is sent before its events count as refused.
const ATTEMPTS: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct BatchClient {
    http: Client,
    url: Url,
    token: String,
}

#[derive(Deserialize)]
struct Answer {
    accepted: u64,
    rejected: u64,
    results: Vec<serde_json::Value>,
}

impl BatchClient {
    pub(super) fn new(base: &Url, token: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: Client::builder().timeout(Duration::from_secs(60)).build()?,
            url: base.join("/api/metrics/batch").context("--url")?,
            token: token.to_owned(),
        })
    }

    /// Sends one batch. Every event has its id, so sending it again is safe.
    pub(super) async fn send(
        &self,
        batch: &Batch,
        events: u64,
        report: &mut Report,
        shutdown: &Shutdown,
    ) {
        report.sent += events;
        let mut pause = Duration::from_millis(100);
        for attempt in 1..=ATTEMPTS {
            let began = Instant::now();
            let request = self
                .http
                .post(self.url.clone())
                .bearer_auth(&self.token)
                .json(batch);
            let (why, wait) = match request.send().await {
                Ok(response) if is_temporary(response.status()) => {
                    let wait = retry_after(&response);
                    (format!("answered {}", response.status()), wait)
                }
                Ok(response) => {
                    report.answered(began.elapsed());
                    return count(response, events, report).await;
                }
                Err(error) => (format!("{error:#}"), None),
            };
            if attempt == ATTEMPTS || shutdown.is_triggered() {
                return report.refuse(events, || why);
            }
            report.repeated += 1;
            let wait = wait.unwrap_or(pause).min(LONGEST_PAUSE);
            // Ends early, and that is no error, when it is time to stop.
            let _ = tokio::time::timeout(wait, shutdown.triggered()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

async fn count(response: Response, events: u64, report: &mut Report) {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    match serde_json::from_str::<Answer>(&body) {
        Ok(answer) => {
            report.accepted += answer.accepted;
            report.refuse(answer.rejected, || {
                let refused = answer.results.iter().find(|r| r["status"] != "accepted");
                refused.map_or(body.clone(), ToString::to_string)
            });
        }
        Err(_) => report.refuse(events, || format!("answered {status}: {body}")),
    }
}
