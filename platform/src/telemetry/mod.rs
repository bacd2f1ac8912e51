//! What a running service says about itself: logs and metrics.

pub mod delays;
mod exposition;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod performance;
pub mod process;

#[cfg(test)]
mod deployed_tests;
