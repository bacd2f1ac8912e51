//! The parts of the stack end, in order and by `kill -9`, and come back.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::faults::report::Report;
use crate::faults::services::Service::{Aggregator, Gateway, Query, Sink};
use crate::faults::system::{Plan, System};

const FAULTS: [(&str, &str); 6] = [
    ("stop", "kafka"),
    ("kill", "kafka"),
    ("stop", "timescaledb"),
    ("kill", "timescaledb"),
    ("stop", "registry"),
    ("kill", "registry"),
];

pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    system.supervised = true;
    system.start_all(&[Gateway, Aggregator, Aggregator, Sink, Sink, Query]);
    system.start_load();
    system.progress("everything runs").await;
    for round in 1..=plan.rounds {
        let (how, part) = FAULTS[(round as usize - 1) % FAULTS.len()];
        system.a_moment(Duration::from_secs(1)).await;
        scripts_stack(&[how, part]).await;
        if part == "registry" {
            // What starts now has no schemas.
            for service in [Gateway, Aggregator, Sink] {
                let victim = system.pick(service);
                system.kill(victim);
            }
        }
        system.a_moment(Duration::from_secs(3)).await;
        scripts_stack(&["up"]).await;
        let what = format!("{part}: {how}");
        system.progress(&what).await;
        system.round(round, &what);
    }
    system.settle().await
}

/// Runs `scripts/stack` on the stack whose addresses the tests were given.
async fn scripts_stack(arguments: &[&str]) {
    let folder = std::env::var("FLOWMETER_STACK")
        .expect("this restarts the stack, which has to be ours: eval \"$(scripts/stack env)\"");
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/stack"));
    command.args(arguments).env("STACK_DIR", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let what = format!("{command:?}");
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = ended.await.unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {words}");
}
