//! The whole service over a real TimescaleDB.

mod answers;
mod failures;
mod pages;
mod periods;
mod random;
mod world;
