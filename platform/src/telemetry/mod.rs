//! What a running service says about itself: logs and metrics.

pub mod delays;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod process;

#[cfg(test)]
mod deployed_tests;
