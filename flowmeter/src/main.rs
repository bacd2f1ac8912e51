//! The `flowmeter` command.

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// glibc's allocator keeps what batches and pages freed, in every thread's arena: after a load
/// the process stayed a third larger, and the gateway took a third fewer events.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

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
