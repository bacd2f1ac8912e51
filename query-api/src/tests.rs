//! The whole service over a real TimescaleDB.

mod anomalies;
mod answers;
mod counted;
mod dashboard;
mod failures;
mod pages;
mod world;
