//! What every Flowmeter service stands on: configuration, telemetry, lifecycle, HTTP, authentication, database, Kafka.

pub mod auth;
pub mod config;
pub mod http;
pub mod lifecycle;
pub mod telemetry;
