//! HTTP to Kafka: posted events, validated, published, acknowledged.
//!
//! An event is answered with 202 when every in-sync replica has it, and not before. What
//! the gateway accepts is what the consumers accept: both judge with `schemas::Event`.

mod answer;
mod batch;
mod config;
mod gateway;
mod handlers;
mod idempotency;
mod ids;
mod openapi;
mod prepare;
mod publish;
mod receipts;
mod refusal;
mod registration;
mod request;

pub use self::{config::GatewayConfig, gateway::Gateway, openapi::openapi};

#[cfg(test)]
mod tests;
