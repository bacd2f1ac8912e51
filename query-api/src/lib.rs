//! Answers queries over rollups, each organization its own.
//!
//! The organization comes from the token alone, and the database shows a
//! transaction that organization's rows and no others.

mod aggregated;
mod anomalies;
mod config;
mod dashboard;
mod failure;
mod health;
mod openapi;
mod params;
mod rollups;
mod service;
mod timing;
mod watermark;

#[cfg(test)]
mod tests;

pub use config::QueryConfig;
pub use openapi::openapi;
pub use service::start;
