//! What every Flowmeter service stands on: configuration, telemetry, lifecycle, HTTP, authentication, database, Kafka.

pub mod config;
pub mod lifecycle;
pub mod telemetry;
