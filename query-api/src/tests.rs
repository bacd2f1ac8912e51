//! The whole service over a real TimescaleDB.

mod answers;
mod cache;
mod failures;
mod operations;
mod pages;
mod world;
