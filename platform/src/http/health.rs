//! Whether a service works, told truthfully and without its insides.
//!
//! A part of a service reports its own state through a [`ComponentHealth`], or
//! is asked through a check. Checks run together, each within a bound, and
//! their results are kept for a second, so that the open endpoint cannot be
//! used to load what the checks ask. What a check says of its failure goes to
//! the log; the public hears only that it failed.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde::Serialize;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// How long one check may take before it counts as failed.
pub const CHECK_BOUND: Duration = Duration::from_secs(2);

/// How long the checks' results are kept.
pub const KEPT: Duration = Duration::from_secs(1);

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<CheckDetail, String>> + Send + Sync>;

/// What a check that succeeded may add, for the public: figures, no addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckDetail(Option<Cow<'static, str>>);

impl CheckDetail {
    /// Nothing to add.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A text for the public.
    #[must_use]
    pub fn public(text: impl Into<Cow<'static, str>>) -> Self {
        Self(Some(text.into()))
    }
}

/// The state of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It works.
    Ok,
    /// It did not say yet.
    Starting,
    /// It does not work.
    Down,
}

/// What is said of one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Whether it works.
    pub status: CheckStatus,
    /// More, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'static, str>>,
    /// How long the check took, in milliseconds, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// The state of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Every part works.
    Ok,
    /// Some part does not, or not yet.
    Degraded,
}

/// What is said of the service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthReport {
    /// Whether all of it works.
    pub status: HealthStatus,
    /// The service's name.
    pub service: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Whole seconds since it started.
    pub uptime_seconds: u64,
    /// Its parts by name.
    pub checks: BTreeMap<&'static str, CheckReport>,
}

/// The register of a service's parts. Clones are the same register.
#[derive(Clone)]
pub struct Health(Arc<Register>);

struct Register {
    service: &'static str,
    version: &'static str,
    started: Instant,
    components: Mutex<BTreeMap<&'static str, CheckReport>>,
    checks: Mutex<Vec<(&'static str, Arc<Check>)>>,
    // Held while the checks run, so that they run once for all who ask.
    kept: tokio::sync::Mutex<Option<(Instant, BTreeMap<&'static str, CheckReport>)>>,
}

impl Health {
    /// A register without parts, which is healthy.
    #[must_use]
    pub fn new(service: &'static str, version: &'static str) -> Self {
        Self(Arc::new(Register {
            service,
            version,
            started: Instant::now(),
            components: Mutex::default(),
            checks: Mutex::default(),
            kept: tokio::sync::Mutex::default(),
        }))
    }

    /// A part that reports by itself; `starting` until it does.
    #[must_use]
    pub fn component(&self, name: &'static str) -> ComponentHealth {
        let component = ComponentHealth {
            health: self.clone(),
            name,
        };
        component.set(CheckStatus::Starting, None);
        component
    }

    /// A part that is asked. The error is for the log, not for the public.
    pub fn check<F, Fut>(&self, name: &'static str, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<CheckDetail, String>> + Send + 'static,
    {
        let check: Check = Box::new(move || check().boxed());
        locked(&self.0.checks).push((name, Arc::new(check)));
    }

    /// The state now: components as they last said, checks at most [`KEPT`] old.
    pub async fn report(&self) -> HealthReport {
        let mut checks = self.checked().await;
        checks.extend(locked(&self.0.components).clone());
        let well = checks.values().all(|check| check.status == CheckStatus::Ok);
        HealthReport {
            status: if well {
                HealthStatus::Ok
            } else {
                HealthStatus::Degraded
            },
            service: self.0.service,
            version: self.0.version,
            uptime_seconds: self.0.started.elapsed().as_secs(),
            checks,
        }
    }

    async fn checked(&self) -> BTreeMap<&'static str, CheckReport> {
        let mut kept = self.0.kept.lock().await;
        if let Some((at, checks)) = &*kept
            && at.elapsed() < KEPT
        {
            return checks.clone();
        }
        let registered = locked(&self.0.checks).clone();
        let service = self.0.service;
        let run = registered
            .into_iter()
            .map(|(name, check)| async move { (name, ask(service, name, &check).await) });
        let checks: BTreeMap<_, _> = join_all(run).await.into_iter().collect();
        *kept = Some((Instant::now(), checks.clone()));
        checks
    }

    /// `/health/live` (200 while the process answers) and `/health/ready`
    /// (200, or 503 while any part does not work), both with the report.
    pub fn router(&self) -> Router {
        let (live, ready) = (self.clone(), self.clone());
        Router::new()
            .route(
                "/health/live",
                get(async move || answer(StatusCode::OK, live.life())),
            )
            .route(
                "/health/ready",
                get(async move || {
                    let report = ready.report().await;
                    let status = match report.status {
                        HealthStatus::Ok => StatusCode::OK,
                        HealthStatus::Degraded => StatusCode::SERVICE_UNAVAILABLE,
                    };
                    answer(status, report)
                }),
            )
    }

    /// A report that asks nobody: a dead database is no reason for an
    /// orchestrator to restart this process.
    #[must_use]
    pub fn life(&self) -> HealthReport {
        HealthReport {
            status: HealthStatus::Ok,
            service: self.0.service,
            version: self.0.version,
            uptime_seconds: self.0.started.elapsed().as_secs(),
            checks: BTreeMap::new(),
        }
    }
}

fn answer(status: StatusCode, report: HealthReport) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

async fn ask(service: &'static str, name: &'static str, check: &Check) -> CheckReport {
    let began = Instant::now();
    let outcome = timeout(CHECK_BOUND, check()).await;
    let latency_ms = Some(began.elapsed().as_secs_f64() * 1000.0);
    match outcome {
        Ok(Ok(CheckDetail(detail))) => CheckReport {
            status: CheckStatus::Ok,
            detail,
            latency_ms,
        },
        Ok(Err(error)) => {
            warn!(service, check = name, error, "a health check failed");
            CheckReport {
                status: CheckStatus::Down,
                detail: Some("unavailable".into()),
                latency_ms,
            }
        }
        Err(_) => {
            warn!(service, check = name, bound = ?CHECK_BOUND, "a health check did not end in time");
            CheckReport {
                status: CheckStatus::Down,
                detail: Some("no answer in time".into()),
                latency_ms,
            }
        }
    }
}

/// What one part of a service says of itself.
#[derive(Clone)]
pub struct ComponentHealth {
    health: Health,
    name: &'static str,
}

impl ComponentHealth {
    /// It works.
    pub fn up(&self) {
        self.set(CheckStatus::Ok, None);
    }

    /// It does not work. The reason is public, hence a text from the source,
    /// which cannot hold an address or a secret; the error belongs in the log.
    pub fn down(&self, reason: &'static str) {
        self.set(CheckStatus::Down, Some(reason));
    }

    fn set(&self, status: CheckStatus, detail: Option<&'static str>) {
        let report = CheckReport {
            status,
            detail: detail.map(Cow::Borrowed),
            latency_ms: None,
        };
        locked(&self.health.0.components).insert(self.name, report);
    }
}

/// The lock, also after a panic: every change under it is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    fn health() -> Health {
        Health::new("test", "1.2.3")
    }

    async fn status(health: &Health, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        health
            .router()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    #[tokio::test]
    async fn a_component_is_starting_until_it_says_otherwise() {
        let health = health();
        let consumer = health.component("consumer");
        assert_eq!(
            health.report().await.checks["consumer"].status,
            CheckStatus::Starting
        );
        assert_eq!(status(&health, "/health/ready").await, 503);
        assert_eq!(status(&health, "/health/live").await, 200);
        consumer.up();
        assert_eq!(status(&health, "/health/ready").await, 200);
        consumer.down("no broker");
        let report = health.report().await;
        assert_eq!(report.status, HealthStatus::Degraded);
        assert_eq!(
            report.checks["consumer"].detail.as_deref(),
            Some("no broker")
        );
    }

    #[tokio::test]
    async fn what_a_failed_check_says_is_not_public() {
        let health = health();
        health.check("database", async || {
            Err("cannot reach db.internal:5432".to_owned())
        });
        let report = health.report().await;
        assert_eq!(report.checks["database"].status, CheckStatus::Down);
        assert!(!serde_json::to_string(&report).unwrap().contains("internal"));
    }

    #[tokio::test(start_paused = true)]
    async fn checks_run_together_each_within_its_bound() {
        let health = health();
        health.check("stuck", pending);
        health.check("stuck too", pending);
        health.check("well", async || Ok(CheckDetail::public("3 brokers")));
        let began = Instant::now();
        let report = health.report().await;
        assert!(
            began.elapsed() < CHECK_BOUND * 3 / 2,
            "{:?}",
            began.elapsed()
        );
        assert_eq!(report.checks["stuck"].status, CheckStatus::Down);
        assert_eq!(report.checks["well"].detail.as_deref(), Some("3 brokers"));
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_make_one_check_a_second() {
        let health = health();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        health.check("database", move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(CheckDetail::none()) }
        });
        join_all((0..50).map(|_| health.report())).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(KEPT).await;
        health.report().await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
