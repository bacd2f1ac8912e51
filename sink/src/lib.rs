//! Writes events, rollups and dead letters to TimescaleDB, exactly once.
//!
//! Rows and the next offset of each partition are written in one database transaction. The
//! offsets in the table `flowmeter.cursors` decide where reading begins; those committed to
//! Kafka are a hint for lag tools. Whatever goes wrong, the session ends, its unwritten
//! records are forgotten, and the next one reads them again from the cursors.

mod batch;
mod config;
mod cursors;
mod decode;
pub mod erase;
mod expand;
pub mod rebuild;
mod service;
mod session;
mod store;
#[cfg(test)]
mod tests;

pub use self::{config::SinkConfig, service::run};
