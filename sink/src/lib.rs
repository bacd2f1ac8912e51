//! Writes events, rollups and dead letters to TimescaleDB, exactly once.
//!
//! Rows and the next offset of each partition are written in one database transaction. The
//! offsets in the table `flowmeter.cursors` decide where reading begins; those committed to
//! Kafka are a hint for lag tools. A database that cannot be written now is tried again, while
//! the partitions are kept. Whatever else goes wrong, the session ends, its unwritten records
//! are forgotten, and the next one reads them again from the cursors.

mod batch;
mod by_user;
mod config;
mod cursors;
mod decode;
pub mod erase;
mod expand;
mod fault;
mod letters;
#[cfg(feature = "test-support")]
pub mod memory;
pub mod rebuild;
mod service;
mod session;
mod store;
#[cfg(feature = "test-support")]
pub mod test_support;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{config::SinkConfig, service::run};
