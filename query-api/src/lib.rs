//! Answers queries over rollups, each organization its own.
//!
//! The organization comes from the token alone, and the database shows a
//! transaction that organization's rows and no others.

mod aggregated;
mod cache;
mod config;
mod failure;
mod health;
mod openapi;
mod operations;
mod params;
mod service;
mod timing;
mod watermark;

#[cfg(test)]
mod tests;

pub use cache::CacheConfig;
pub use config::QueryConfig;
pub use openapi::openapi;
pub use operations::dead_letters::{Replay, ReplayFailure, ReplayGroup, Replayed, Replayer};
pub use service::start;
