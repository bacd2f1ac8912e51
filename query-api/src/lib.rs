//! Answers queries over rollups, each organization its own.
//!
//! Live views come from memory, which follows the log of rollup deltas.
//!
//! The organization comes from the token alone, and the database shows a
//! transaction that organization's rows and no others.

mod aggregated;
mod anomalies;
mod cache;
mod config;
mod dashboard;
mod events;
mod export;
mod failure;
mod health;
mod instant;
mod live;
mod openapi;
mod operations;
mod page;
mod page_cursor;
mod params;
mod rollups;
mod service;
mod timing;

#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
#[cfg(test)]
mod tests;

pub use cache::CacheConfig;
pub use config::QueryConfig;
pub use live::LiveConfig;
pub use openapi::openapi;
pub use operations::dead_letters::{Replay, ReplayFailure, ReplayGroup, Replayed, Replayer};
pub use service::start;
