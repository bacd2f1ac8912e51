//! The whole service over a real TimescaleDB.

mod anomalies;
mod answers;
mod cache;
mod counted;
mod dashboard;
mod export_limits;
mod export_size;
mod exports;
mod failures;
mod lines;
mod lists;
mod live;
mod live_streams;
mod operations;
mod pages;
mod periods;
mod random;
mod raw;
mod searches;
mod world;
