//! A simulation of skewed load, for `docs/SCALING.md`: how evenly keys fill partitions and
//! instances, and how far sinks on one database wait for each other.
//!
//! Nothing is measured here. Costs are told, and what comes out is how skew and locks change
//! what the costs alone would give.

pub mod keys;
pub mod partitions;
pub mod sinks;
