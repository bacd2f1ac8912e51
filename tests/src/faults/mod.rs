//! The fault suite: whatever fails, and whenever, what was accepted is counted once.
//!
//! Each case runs services as processes of their own, under load, and does something to
//! them or to the connections between them. Senders write everything down in one ledger, and
//! in the end it is compared with the database:
//!
//! - I1: accepted = stored + dead letters + what was dropped because it was there before;
//! - I2: stored ids are distinct, and each was accepted (or never answered);
//! - I3: rollups equal raw rows, for every organization, scope, series and window, apart from
//!   days of which retention has removed rows;
//! - I4: no row is another organization's;
//! - I5: cursors never go back;
//! - I6: lag returns to zero, and memory is flat;
//! - I7: dead letters are unique by source, and whole.
//!
//! The short form is part of `make test`. `make test-faults` runs the full form, which also
//! restarts the parts of the stack. `FAULT_SEED` decides what happens when.

mod answers;
mod cases;
mod direct;
mod events;
mod full;
mod invariants;
mod lag;
mod ledger;
mod links;
mod load;
mod memory;
mod proxy;
mod report;
mod rollups;
mod services;
mod system;
mod watcher;

use self::cases::{cut, jobs, kill, live, poison, rebalance, stop};
use self::system::Plan;

/// `FAULT_SEED`, or a new one.
fn seed() -> u64 {
    let given = std::env::var("FAULT_SEED").ok();
    given.map_or_else(
        || rand::random_range(0..1_000_000),
        |seed| seed.parse().expect("FAULT_SEED is a number"),
    )
}

fn short(case: &'static str, rounds: u32) -> Plan {
    Plan {
        case,
        seed: seed(),
        rounds,
        rate: 300,
        poison: 10,
        partitions: 2,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_services_lose_and_double_nothing() {
    kill::run(short("kill", 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_stopped_and_replaced_changes_nothing_when_it_goes_on() {
    stop::run(short("stop", 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_refused_and_silent_connections_lose_and_double_nothing() {
    cut::run(short("cut", 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_come_and_go_and_lose_and_double_nothing() {
    rebalance::run(short("rebalance", 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_poison_and_unwritable_dead_letters_only_delay() {
    poison::run(short("poison", 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_grow_in_our_compression_hold_up_nothing() {
    poison::oversize(short("oversize", 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_jobs_leave_nothing_half_done() {
    jobs::run(short("jobs", 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_views_end_with_what_the_database_has() {
    live::run(short("live", 1)).await;
}
