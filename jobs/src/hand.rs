//! A run by hand, while the service may run.

use std::sync::Arc;

use anyhow::{Context, bail};
use platform::lifecycle::Shutdown;

use crate::JobsConfig;
use crate::history::Trigger;
use crate::job::{Job, Outcome};
use crate::service::runner;

/// Runs the job `name` now, with all its attempts, telling `told` how far it is; `shutdown`
/// ends it at its next safe point.
///
/// # Errors
/// When there is no such job, somebody else is running it, or the database is away.
pub async fn run_by_hand(
    config: &JobsConfig,
    jobs: &[Arc<dyn Job>],
    name: &str,
    told: Arc<dyn Fn(&str) + Send + Sync>,
    shutdown: &Shutdown,
) -> anyhow::Result<Outcome> {
    let Some(job) = jobs.iter().find(|job| job.spec().name == name) else {
        let names: Vec<&str> = jobs.iter().map(|job| job.spec().name).collect();
        bail!("there is no job {name}; there are {}", names.join(", "));
    };
    let scope = shutdown.child();
    let runner = runner(config, scope.clone(), told).await?;
    let outcome = runner.run(&**job, Trigger::Hand, &scope).await?;
    outcome.with_context(|| {
        format!("{name} is running already; `flowmeter jobs list` says since when")
    })
}
