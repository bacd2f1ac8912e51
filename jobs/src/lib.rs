//! What is done on schedule: removing what has expired, comparing rollups with raw rows, health
//! checks with alerts, statistics and reports.
//!
//! Any number of processes may run this. One leads, by an advisory lock of the database that
//! ends with its connection, and runs the jobs on schedule; the others stand by. Each job has a
//! lock of its own besides, so that nobody runs it twice at once, by hand neither.
//!
//! A job may die at any moment: what it does is a row of small transactions, each of which is
//! as good alone, and the next run does what is left.

mod config;
mod hand;
mod health;
mod history;
mod job;
mod list;
mod locks;
mod reconcile;
mod report;
mod retention;
mod runner;
mod schedule;
mod service;
mod storage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::{
    config::JobsConfig,
    hand::run_by_hand,
    job::{Job, Outcome, Run, Spec},
    list::{Line, list},
    reconcile::{Checked, Healed, Reconciler, Record},
    service::run,
};

/// Every job, in the order in which they are listed.
pub(crate) const SPECS: [&Spec; 6] = [
    &retention::SPEC,
    &reconcile::RECENT,
    &reconcile::WIDE,
    &health::SPEC,
    &storage::SPEC,
    &report::SPEC,
];

/// All jobs. What compares rollups with raw rows is given: it is the sink's knowledge, and no
/// service uses another.
///
/// # Errors
/// When the webhook's client cannot be made.
pub fn all(
    config: &JobsConfig,
    reconciler: Arc<dyn Reconciler>,
) -> anyhow::Result<Vec<Arc<dyn Job>>> {
    let recent = reconcile::Reconcile::recent(reconciler.clone());
    let wide = reconcile::Reconcile::wide(reconciler, config.reconcile_days);
    Ok(vec![
        Arc::new(retention::Retention::new(config.retention.clone())),
        Arc::new(recent),
        Arc::new(wide),
        Arc::new(health::HealthCheck::new(config)?),
        Arc::new(storage::Storage),
        Arc::new(report::Report),
    ])
}
