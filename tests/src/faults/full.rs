//! The full form: every case at length, one after the other. `make test-faults`.

use std::pin::Pin;

use tokio::task::LocalSet;

use super::cases::{cut, jobs, kill, live, poison, rebalance, stack, stop};
use super::report::{HEAD, Report};
use super::system::Plan;

type Case = fn(Plan) -> Pin<Box<dyn Future<Output = Report>>>;

/// Name, what runs it, rounds, records of a thousand that do not count, partitions.
const CASES: [(&str, Case, u32, u32, i32); 9] = [
    ("kill", |plan| Box::pin(kill::run(plan)), 30, 10, 2),
    ("stop", |plan| Box::pin(stop::run(plan)), 6, 10, 2),
    ("cut", |plan| Box::pin(cut::run(plan)), 60, 10, 2),
    (
        "rebalance",
        |plan| Box::pin(rebalance::run(plan)),
        18,
        10,
        4,
    ),
    ("poison", |plan| Box::pin(poison::run(plan)), 5, 10, 2),
    (
        "oversize",
        |plan| Box::pin(poison::oversize(plan)),
        1,
        10,
        2,
    ),
    ("jobs", |plan| Box::pin(jobs::run(plan)), 5, 10, 2),
    ("live", |plan| Box::pin(live::run(plan)), 10, 10, 2),
    ("stack", |plan| Box::pin(stack::run(plan)), 12, 10, 2),
];

/// `FAULT_CASES` names some of them, separated by commas.
fn is_wanted(case: &str) -> bool {
    let wanted = std::env::var("FAULT_CASES").ok();
    wanted.is_none_or(|names| names.split(',').any(|name| name == case))
}

/// `FAULT_ROUNDS`, for a quick look.
fn rounds(default: u32) -> u32 {
    let given = std::env::var("FAULT_ROUNDS").ok();
    given.map_or(default, |rounds| {
        rounds.parse().expect("FAULT_ROUNDS is a number")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half an hour and restarts the stack: make test-faults"]
async fn every_fault() {
    let seed = super::seed();
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for (case, run, default_rounds, poison, partitions) in CASES {
        if !is_wanted(case) {
            continue;
        }
        let plan = Plan {
            case,
            seed,
            rounds: rounds(default_rounds),
            rate: 500,
            poison,
            partitions,
        };
        // On a task of its own: the others run although one failed.
        let local = LocalSet::new();
        let running = local.spawn_local(run(plan));
        match local.run_until(running).await {
            Ok(report) => lines.push(report.to_string()),
            Err(_) => {
                lines.push(format!("{case:<28}  failed, see above"));
                failed.push(case);
            }
        }
    }
    println!("\nFAULT_SEED={seed}\n{HEAD}\n{}", lines.join("\n"));
    assert!(
        failed.is_empty(),
        "failed with FAULT_SEED={seed}: {failed:?}"
    );
}
