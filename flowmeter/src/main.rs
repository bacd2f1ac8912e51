//! The `flowmeter` command.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match flowmeter::run(flowmeter::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` is the whole chain on one line; a log may not be set up yet.
            eprintln!("flowmeter: {error:#}");
            ExitCode::FAILURE
        }
    }
}
