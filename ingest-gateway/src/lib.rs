//! HTTP to Kafka: posted events, validated, published, acknowledged.
//!
//! An event is answered with 202 when every in-sync replica has it, and not before. What
//! the gateway accepts is what the consumers accept: both judge with `schemas::Event`.

mod accept;
mod answer;
mod batch;
mod cloud_events;
mod config;
mod gateway;
mod handlers;
mod idempotency;
mod ids;
mod openapi;
mod posted;
mod prepare;
mod publish;
mod receipts;
mod refusal;
mod registration;
mod request;
mod routes;
mod sessions;

pub use self::{config::GatewayConfig, gateway::Gateway, openapi::openapi};

#[cfg(test)]
mod tests;
