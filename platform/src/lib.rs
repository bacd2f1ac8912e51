//! What every Flowmeter service stands on: configuration, telemetry, lifecycle, HTTP, authentication, database, Kafka.

pub mod auth;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod cpu;
pub mod database;
pub mod http;
pub mod kafka;
pub mod lifecycle;
pub mod rate_limit;
pub mod redis_link;
pub mod telemetry;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
