//! The Prometheus exporter.

use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context;
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

pub use metrics_exporter_prometheus::PrometheusHandle;

use super::{names, process};

/// The media type of the Prometheus text format.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the process's recorder, or answers the one installed before.
///
/// Histograms have explicit buckets, so that those of several instances can be
/// added up; the exporter's own default is summaries, which cannot.
///
/// # Errors
/// When another recorder than ours is installed already.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    // Two threads that come first together must not both install.
    static FIRST: Mutex<()> = Mutex::new(());
    let _first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = builder()
        .and_then(PrometheusBuilder::install_recorder)
        .context("the metrics recorder cannot be installed")?;
    names::describe();
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(HANDLE.get_or_init(|| handle).clone())
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&names::DURATION_BUCKETS)?
        .set_buckets_for_metric(
            Matcher::Full(names::END_TO_END_DELAY.to_owned()),
            &names::DELAY_BUCKETS,
        )
}

/// All metrics of this process in the Prometheus text format.
#[must_use]
pub fn render(handle: &PrometheusHandle) -> String {
    let mut text = handle.render();
    text.push_str(&process::render());
    text
}

/// The answer to `GET /metrics`.
#[must_use]
pub fn metrics_handler(handle: &PrometheusHandle) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], render(handle)).into_response()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use metrics::{counter, gauge, histogram};

    use super::*;

    /// A rendering in which every metric has a value.
    fn everything() -> String {
        let handle = install().unwrap();
        counter!(names::EVENTS_ACCEPTED, "kind" => "command").increment(1);
        counter!(names::EVENTS_REFUSED, "kind" => "command", "code" => "range").increment(1);
        counter!(names::HTTP_REQUESTS, "service" => "s", "method" => "GET", "route" => "/", "status" => "200")
            .increment(1);
        histogram!(names::HTTP_REQUEST_DURATION, "service" => "s", "method" => "GET", "route" => "/").record(0.02);
        histogram!(names::PUBLISH_DURATION, "kind" => "command").record(0.02);
        counter!(names::PUBLISH_FAILURES, "reason" => "timeout").increment(1);
        counter!(names::RECORDS_ADMITTED, "kind" => "command").increment(1);
        counter!(names::DEAD_LETTERS, "reason" => "schema").increment(1);
        gauge!(names::CONSUMER_LAG, "group" => "g", "topic" => "t", "partition" => "0").set(1.0);
        counter!(names::CONSUMER_SESSIONS, "service" => "sink", "outcome" => "ok").increment(1);
        histogram!(names::AGGREGATOR_FLUSH_DURATION).record(0.02);
        counter!(names::AGGREGATOR_DELTAS).increment(1);
        histogram!(names::SINK_BATCH_DURATION).record(0.02);
        counter!(names::SINK_ROWS, "table" => "t").increment(1);
        histogram!(names::QUERY_DURATION, "query" => "aggregated").record(0.02);
        counter!(names::CACHE_ANSWERS, "query" => "aggregated", "outcome" => "hit").increment(1);
        gauge!(names::HTTP_CONNECTIONS).set(1.0);
        gauge!(names::CACHE_BYTES).set(1.0);
        gauge!(names::CACHE_LISTENING).set(1.0);
        gauge!(names::CACHE_FALLBACK).increment(0.0);
        counter!(names::CACHE_REDIS_ERRORS).increment(1);
        histogram!(names::END_TO_END_DELAY).record(100.0);
        counter!(names::RATE_LIMIT_REFUSALS, "class" => "read", "level" => "user").increment(1);
        gauge!(names::RATE_LIMIT_FALLBACK).increment(0.0);
        gauge!(names::RECEIPTS_KEPT).set(1.0);
        counter!(names::WAITS, "outcome" => "stored").increment(1);
        histogram!(names::WAIT_DURATION).record(0.02);
        gauge!(names::REQUESTS_IN_FLIGHT).set(1.0);
        gauge!(names::BYTES_IN_FLIGHT).set(1.0);
        counter!(names::OVERLOAD_REFUSALS, "cause" => "bytes").increment(1);
        counter!(names::JOB_RUNS, "job" => "health", "outcome" => "succeeded").increment(1);
        histogram!(names::JOB_DURATION, "job" => "health").record(0.02);
        gauge!(names::JOB_LAST_SUCCESS, "job" => "health").set(1.0);
        gauge!(names::JOBS_LEADER).set(1.0);
        counter!(names::ROLLUPS_HEALED, "window" => "1h").increment(1);
        counter!(names::RETENTION_ROWS, "table" => "t").increment(1);
        counter!(names::RETENTION_CHUNKS, "table" => "t").increment(1);
        gauge!(names::ALERTS_FIRING, "condition" => "error_rate").set(1.0);
        gauge!(names::ALERTS_UNDELIVERED).set(1.0);
        gauge!(names::TABLE_BYTES, "table" => "t").set(1.0);
        gauge!(names::TABLE_CHUNKS, "table" => "t").set(1.0);
        gauge!(names::DATABASE_BYTES).set(1.0);
        handle.run_upkeep();
        render(&handle)
    }

    #[test]
    fn histograms_have_buckets_and_every_metric_has_help() {
        let text = everything();
        assert!(
            text.contains("flowmeter_end_to_end_delay_seconds_bucket{le=\"300\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE flowmeter_http_request_duration_seconds histogram"),
            "{text}"
        );
        assert!(!text.contains("quantile="), "{text}");
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = name.split(' ').next().unwrap();
            assert!(
                text.contains(&format!("# HELP {name} ")),
                "{name} has no help"
            );
        }
        if cfg!(target_os = "linux") {
            assert!(text.contains("\nprocess_open_fds "), "{text}");
        }
    }

    #[test]
    fn promtool_finds_nothing_to_say() {
        let spawned = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = spawned else {
            eprintln!("promtool is not installed: skipped");
            return;
        };
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(everything().as_bytes())
            .unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success() && said.is_empty(),
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
}
