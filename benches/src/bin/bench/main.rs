//! `make bench`: the pipeline's stages side by side with what they are measured against.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use benches::{
    harness::{Context, Cores, Options, machine, report::Report, worker::WorkerArgs},
    stages,
};
use chrono::{SecondsFormat, Utc};
use clap::{Parser, Subcommand};

/// Memory is used as in `flowmeter`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Run the stages of the pipeline side by side with what they are measured against.
///
/// Every comparison runs in pairs, ours and the peer's in turns, each in a process of its own.
/// Writes bench-report.md, bench-report.json and an SVG of each comparison into the folder of
/// --out. Engines for streams are installed by scripts/bench-peers when they are first needed.
/// A peer that cannot be had, or that answers wrongly, is reported as such.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    /// Only these stages, by name, separated by commas; all by default
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// List the stages and end
    #[arg(long)]
    list: bool,
    /// The full form: longer runs, and up to 10 million events: an hour and a half
    #[arg(long)]
    full: bool,
    /// Seed of the workloads
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Series of workload W1
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    series: u32,
    /// Pairs of each comparison
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Events a second of the stage soak
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Folder of the report
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    #[command(subcommand)]
    worker: Option<Hidden>,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// Run one side of one comparison once and print what it took, as JSON
    Worker(WorkerArgs),
}

#[allow(clippy::print_stdout, reason = "the answer of a worker, and the list")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Hidden::Worker(args)) = &args.worker {
        println!("{}", serde_json::to_string(&stages::work(args)?)?);
        return Ok(());
    }
    let mut all = stages::all();
    if args.list {
        for stage in &all {
            println!("{:<10} {}", stage.name(), stage.about());
        }
        return Ok(());
    }
    for name in &args.only {
        ensure!(
            all.iter().any(|stage| stage.name() == name),
            "there is no stage {name}; --list tells them"
        );
    }
    ensure!(args.pairs > 0, "--pairs must be at least 1");
    all.retain(|s| args.only.is_empty() || args.only.iter().any(|name| name == s.name()));

    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let scratch = args.out.join("scratch");
    std::fs::create_dir_all(&scratch).context("cannot make the folder of --out")?;
    let context = Context {
        options: Options {
            full: args.full,
            seed: args.seed,
            series: args.series,
            pairs: args.pairs,
            rate: args.rate,
        },
        cores: Cores::detect(),
        scratch: scratch.canonicalize()?,
        root,
    };
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut report = Report {
        command: format!("bench {}", words.join(" ")).trim().to_owned(),
        began: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        form: if args.full { "full" } else { "short" },
        seed: args.seed,
        machine: machine::facts(&context.root),
        stages: Vec::new(),
    };
    report.fill(all, &context, &args.out)?;
    context.say(format!("{}", args.out.join("bench-report.md").display()));
    Ok(())
}
