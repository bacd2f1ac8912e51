//! Posting batches, and trying again what may be tried again.

use std::time::{Duration, Instant};

use anyhow::Context;
use platform::lifecycle::Shutdown;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use uuid::Uuid;

use super::batch::Batch;
use super::receipts::Receipts;
use super::report::Report;

/// How often a request is sent before its events count as refused.
const ATTEMPTS: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct BatchClient {
    http: Client,
    url: Url,
    token: String,
    receipts: Option<Receipts>,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<EventResult>,
}

#[derive(Debug, Deserialize)]
struct EventResult {
    kind: String,
    index: usize,
    event_id: Option<Uuid>,
    status: String,
    /// Of a rejected event: what it would have been answered with alone.
    http_status: Option<u16>,
    code: Option<String>,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl EventResult {
    fn why(&self) -> String {
        let code = self.code.as_deref().unwrap_or("rejected");
        let errors: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        format!("{} {}: {code} {}", self.kind, self.index, errors.join(", "))
    }
}

impl BatchClient {
    pub(super) fn new(base: &Url, token: &str, receipts: Option<Receipts>) -> anyhow::Result<Self> {
        Ok(Self {
            http: Client::builder().timeout(Duration::from_secs(60)).build()?,
            url: base.join("/api/metrics/batch").context("--url")?,
            token: token.to_owned(),
            receipts,
        })
    }

    /// Sends one batch, and what is left of it again until all of it has its answer. Every
    /// event keeps its id.
    pub(super) async fn send(&self, batch: Batch, report: &mut Report, shutdown: &Shutdown) {
        let mut left = batch;
        report.sent += left.len();
        let mut pause = Duration::from_millis(100);
        for attempt in 1..=ATTEMPTS {
            let (why, wait) = match self.attempt(&mut left, report).await {
                Ok(()) => return,
                Err(again) => again,
            };
            if attempt == ATTEMPTS || shutdown.is_triggered() {
                return report.refuse(left.len(), || why);
            }
            report.repeated += 1;
            let wait = wait.unwrap_or(pause).min(LONGEST_PAUSE);
            // Ends early, and that is no error, when it is time to stop.
            let _ = tokio::time::timeout(wait, shutdown.triggered()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends what is left once. An error says why some of it is still left, and for how long
    /// to wait if the service said so.
    async fn attempt(
        &self,
        left: &mut Batch,
        report: &mut Report,
    ) -> Result<(), (String, Option<Duration>)> {
        let began = Instant::now();
        let request = self.http.post(self.url.clone());
        let request = request.bearer_auth(&self.token).json(&*left);
        let response = request.send().await.map_err(|e| (format!("{e:#}"), None))?;
        let (status, wait) = (response.status(), retry_after(&response));
        let body = response
            .text()
            .await
            .map_err(|e| (format!("{e:#}"), wait))?;
        report.answered(began.elapsed());
        match serde_json::from_str::<Answer>(&body) {
            Ok(answer) => {
                let results = answer.results;
                left.keep(|kind, index| {
                    let result = results.iter().find(|r| r.kind == kind && r.index == index);
                    match result {
                        Some(r) if r.status == "accepted" => {
                            report.accepted += 1;
                            self.keep_receipt(r.event_id);
                            false
                        }
                        Some(r) if !r.http_status.is_some_and(is_temporary) => {
                            report.refuse(1, || r.why());
                            false
                        }
                        _ => true,
                    }
                });
            }
            Err(_) if !is_temporary(status.as_u16()) => {
                report.refuse(left.len(), || format!("answered {status}: {body}"));
                return Ok(());
            }
            Err(_) => {}
        }
        if left.len() == 0 {
            return Ok(());
        }
        Err((format!("answered {status}"), wait))
    }

    fn keep_receipt(&self, event_id: Option<Uuid>) {
        if let (Some(receipts), Some(event_id)) = (&self.receipts, event_id) {
            receipts.keep(event_id);
        }
    }

    /// Ends the file of receipts.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.receipts.map_or(Ok(()), Receipts::finish)
    }
}

/// 429, 502, 503, 504: the same request may be taken later.
fn is_temporary(status: u16) -> bool {
    matches!(status, 429 | 502..=504)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}
