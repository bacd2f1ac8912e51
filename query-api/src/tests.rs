//! The whole service over a real TimescaleDB.

mod answers;
mod failures;
mod live;
mod live_streams;
mod pages;
mod world;
