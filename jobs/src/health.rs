//! The health check: readings are held against thresholds, changes are written down with the
//! messages that tell of them, and the messages are delivered.

mod alerts;
mod config;
mod lag;
mod readings;
mod store;
mod webhook;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::gauge;
use platform::telemetry::names;
use serde_json::{Value, json};

pub(crate) use self::config::HealthConfig;
use self::readings::{CONDITIONS, Sources};
use self::webhook::Webhook;
use crate::JobsConfig;
use crate::job::{Job, Run, Spec};

pub(crate) const SPEC: Spec = Spec {
    name: "health",
    about: "holds error rates, latency, lag, memory and disk against thresholds, and alerts",
    // HEALTH_CHECK_INTERVAL says otherwise.
    schedule: "every 300s",
    timeout: Duration::from_secs(4 * 60),
};

/// The job.
pub(crate) struct HealthCheck {
    sources: Sources,
    webhook: Option<Webhook>,
}

impl HealthCheck {
    pub(crate) fn new(config: &JobsConfig) -> anyhow::Result<Self> {
        let webhook = config.health.webhook.clone();
        Ok(Self {
            sources: Sources::new(&config.kafka, &config.health),
            webhook: webhook.map(Webhook::new).transpose()?,
        })
    }

    async fn check(&self, run: &Run) -> anyhow::Result<Value> {
        let (readings, unknown) = self.sources.read(&run.pool).await?;
        let before = store::states(&run.pool).await?;
        let changes = alerts::changes(&before, &readings, &unknown);
        for change in &changes {
            let state = &change.state;
            if state.firing {
                tracing::warn!(
                    condition = state.condition,
                    subject = state.subject,
                    value = state.value,
                    threshold = state.threshold,
                    "an alert fires"
                );
            } else {
                tracing::info!(
                    condition = state.condition,
                    subject = state.subject,
                    value = state.value,
                    "an alert is resolved"
                );
            }
        }
        store::write(&run.pool, &changes, self.webhook.is_some()).await?;
        let firing = store::states(&run.pool).await?;
        let firing: Vec<_> = firing.iter().filter(|state| state.firing).collect();
        for condition in CONDITIONS {
            let count = firing
                .iter()
                .filter(|state| state.condition == condition)
                .count();
            gauge!(names::ALERTS_FIRING, "condition" => condition).set(count as f64);
        }
        let details = json!({
            "readings": readings.len(), "unknown": unknown, "changes": changes.len(),
            "firing": firing.iter().map(|s| json!([s.condition, s.subject, s.value])).collect::<Vec<_>>(),
        });
        if let Some(webhook) = &self.webhook {
            let delivered = store::deliver(&run.pool, webhook, &run.stop).await;
            gauge!(names::ALERTS_UNDELIVERED).set(store::undelivered(&run.pool).await? as f64);
            delivered?;
        }
        Ok(details)
    }
}

impl Job for HealthCheck {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, anyhow::Result<Value>> {
        self.check(run).boxed()
    }
}
