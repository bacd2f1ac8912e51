//! Simulated skew: the tables of docs/SCALING.md.

use benches::scaling::{
    keys::{Keys, Skew},
    partitions::Load,
    sinks::{Costs, throughput},
};
use clap::Parser;

/// Simulate skewed keys: how evenly they fill partitions and instances, and how far sinks on one
/// database wait for each other. Prints tables as Markdown.
#[derive(Debug, Parser)]
struct Args {
    /// Seed of what is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Organizations
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..))]
    organizations: u32,
    /// The largest one's share of the events
    #[arg(long, default_value_t = 0.3)]
    share: f64,
    /// Users of each organization
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Exponent of Zipf's law for the users of an organization
    #[arg(long, default_value_t = 0.8)]
    user_exponent: f64,
    /// Events that are drawn for each number of partitions
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// Microseconds of a sink for an event, without locks
    #[arg(long, default_value_t = 15.0)]
    event_micros: f64,
    /// Microseconds of a sink for a rollup, under locks
    #[arg(long, default_value_t = 25.0)]
    rollup_micros: f64,
    /// Rollups that an event alone touches
    #[arg(long, default_value_t = 15.0)]
    rollups_of_event: f64,
}

#[allow(clippy::print_stdout, reason = "the tables are the output")]
fn main() {
    let args = Args::parse();
    let skew = Skew {
        organizations: args.organizations,
        share_of_largest: args.share,
        users: args.users,
        user_exponent: args.user_exponent,
    };
    println!("{skew:?}, seed {}\n", args.seed);
    println!(
        "| partitions | busiest partition / mean | busiest of 4 instances / mean | of a quarter as many as partitions |"
    );
    println!("|---|---|---|---|");
    for partitions in [12, 48, 192, 768] {
        let load = Load::of(&mut Keys::new(args.seed, skew), args.events, partitions);
        println!(
            "| {partitions} | {:.2} | {:.2} | {:.2} |",
            load.busiest_partition(),
            load.busiest_instance(4),
            load.busiest_instance(partitions as usize / 4)
        );
    }
    let costs = Costs {
        event: args.event_micros,
        rollup: args.rollup_micros,
        rollups_of_event: args.rollups_of_event,
    };
    println!("\n{costs:?}\n");
    println!("| sinks on one database | events a second, batches of 1,000 | of 40,000 |");
    println!("|---|---|---|");
    for sinks in [1, 2, 4, 8] {
        let of = |size, batches| {
            let mut keys = Keys::new(args.seed, skew);
            throughput(&mut keys, costs, sinks, size, batches)
        };
        println!(
            "| {sinks} | {:.0} | {:.0} |",
            of(1_000, 200),
            of(40_000, 10)
        );
    }
}
