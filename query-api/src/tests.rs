//! The whole service over a real TimescaleDB.

mod answers;
mod cache;
mod failures;
mod live;
mod live_streams;
mod operations;
mod pages;
mod world;
