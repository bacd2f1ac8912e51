//! The gateway on a real Kafka and a real registry.

mod batches;
mod cloud_events;
mod description;
mod events;
mod harness;
mod hostile_bodies;
mod idempotency;
mod rate_limits;
mod receipts;
mod refusals;
mod retries;
mod sessions;
