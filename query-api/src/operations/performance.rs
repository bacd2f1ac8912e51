//! `GET /api/metrics/performance`: how this instance has done lately.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use platform::{
    auth::Identity,
    http::problem::{Problem, ProblemBody},
    telemetry::performance::{Figures, Latency, WINDOWS},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::AppState;

/// The path.
pub(crate) const PATH: &str = "/api/metrics/performance";

/// How this instance has done lately. It speaks of no other: with `serve` it holds all
/// services, and a query API that runs alone measures nothing of ingest and storage.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Performance {
    /// What this process is: `flowmeter` with all services, or `query`.
    service: &'static str,
    /// Which of several.
    instance: String,
    version: &'static str,
    uptime_seconds: u64,
    /// By the window's name: `1m`, `5m`, `1h`. Absent in the first seconds of the process.
    windows: BTreeMap<&'static str, PerformanceWindow>,
    /// The measures that are null everywhere: this instance has not measured them.
    not_measured: Vec<&'static str>,
}

/// What happened in a window. Null is what this instance has not measured.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PerformanceWindow {
    /// How long the window really is: less than its name says while the process is young.
    seconds: f64,
    /// Events accepted by the gateway, per second.
    #[schema(required = true)]
    ingestion_rate: Option<f64>,
    /// From an event's log time until it is stored, in milliseconds.
    #[schema(required = true)]
    processing_latency_ms: Option<LatencyMs>,
    /// From a request to the query API until its answer, in milliseconds.
    #[schema(required = true)]
    query_response_time_ms: Option<LatencyMs>,
    /// The most resident memory of the process, in MiB.
    #[schema(required = true)]
    memory_usage_mb: Option<f64>,
    /// The most open HTTP connections.
    #[schema(required = true)]
    active_connections: Option<u64>,
    /// The share of answers that were not computed, 0 to 1; null when there were none.
    #[schema(required = true)]
    cache_hit_rate: Option<f64>,
}

/// Durations in milliseconds, from histograms: between the bounds of their buckets. The
/// quantiles of none are null.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LatencyMs {
    /// How many were measured.
    count: u64,
    #[schema(required = true)]
    p50: Option<f64>,
    #[schema(required = true)]
    p95: Option<f64>,
    #[schema(required = true)]
    p99: Option<f64>,
}

impl From<Latency> for LatencyMs {
    fn from(latency: Latency) -> Self {
        let Latency {
            count,
            p50,
            p95,
            p99,
        } = latency;
        Self {
            count,
            p50,
            p95,
            p99,
        }
    }
}

impl From<Figures> for PerformanceWindow {
    fn from(figures: Figures) -> Self {
        const MIB: f64 = 1_048_576.0;
        Self {
            seconds: figures.covered.as_secs_f64(),
            ingestion_rate: figures.ingestion_rate,
            processing_latency_ms: figures.processing_latency.map(Into::into),
            query_response_time_ms: figures.query_response_time.map(Into::into),
            memory_usage_mb: figures.memory_bytes.map(|bytes| bytes as f64 / MIB),
            active_connections: figures.connections,
            cache_hit_rate: figures.cache_hit_rate,
        }
    }
}

/// How this instance has done lately
///
/// Over the last minute, five minutes and hour, from the process's own metrics. For
/// administrators.
#[utoipa::path(
    get,
    path = PATH,
    tag = "operations",
    responses(
        (status = 200, description = "Figures of the last minute, five minutes and hour.", body = Performance),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`role_not_allowed`: administrators alone may.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the same request passes after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`keys_unavailable` to verify tokens with.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn performance(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Json<Performance>, Problem> {
    super::admit(&state, &identity).await?;
    let operations = &state.operations;
    let figures = WINDOWS.map(|(name, window)| Some((name, operations.performance.over(window)?)));
    let windows: BTreeMap<&str, PerformanceWindow> = figures
        .into_iter()
        .flatten()
        .map(|(name, figures)| (name, figures.into()))
        .collect();
    let process = operations.health.life();
    Ok(Json(Performance {
        service: process.service,
        instance: operations.instance.clone(),
        version: process.version,
        uptime_seconds: process.uptime_seconds,
        not_measured: not_measured(windows.values()),
        windows,
    }))
}

fn not_measured<'a>(
    windows: impl Iterator<Item = &'a PerformanceWindow> + Clone,
) -> Vec<&'static str> {
    type Has = fn(&PerformanceWindow) -> bool;
    let measures: [(&str, Has); 6] = [
        ("ingestion_rate", |w| w.ingestion_rate.is_some()),
        ("processing_latency_ms", |w| {
            w.processing_latency_ms.is_some()
        }),
        ("query_response_time_ms", |w| {
            w.query_response_time_ms.is_some()
        }),
        ("memory_usage_mb", |w| w.memory_usage_mb.is_some()),
        ("active_connections", |w| w.active_connections.is_some()),
        ("cache_hit_rate", |w| w.cache_hit_rate.is_some()),
    ];
    let missing = measures
        .into_iter()
        .filter(|(_, has)| !windows.clone().any(has));
    missing.map(|(name, _)| name).collect()
}
