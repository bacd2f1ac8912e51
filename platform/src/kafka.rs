//! Kafka: clients whose settings keep the promises of the design, and what all consumers of
//! events decide alike.

pub mod admission;
pub mod client;
pub mod consumer;
pub mod dead_letters;
pub mod log_follower;
pub mod log_reader;
pub mod producer;
pub mod provision;
pub mod refusals;
pub mod registry;
pub mod sessions;
pub mod sources;
pub mod topics;
pub mod transactions;
