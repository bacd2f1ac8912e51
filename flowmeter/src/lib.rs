//! The `flowmeter` command: the services alone or together, and what a person needs around
//! them. Each file is one subcommand.

pub mod cli;
pub mod dead_letters;
pub mod erase;
mod greeting;
mod health;
pub mod jobs;
pub mod load;
pub mod migrate;
pub mod rebuild;
mod reference;
pub mod serve;
mod service;
pub mod token;

pub use cli::{Cli, run};
