//! What every Flowmeter service stands on: configuration, telemetry, lifecycle, HTTP, authentication, database, Kafka.

pub mod database;
pub mod kafka;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
