//! The whole service over a real TimescaleDB.

mod answers;
mod export_limits;
mod export_size;
mod exports;
mod failures;
mod lists;
mod pages;
mod raw;
mod searches;
mod world;
