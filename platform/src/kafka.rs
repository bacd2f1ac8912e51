//! Kafka: clients whose settings keep the promises of the design.

pub mod client;
pub mod consumer;
pub mod producer;
pub mod registry;
pub mod topics;
pub mod transactions;
