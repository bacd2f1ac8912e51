//! The engines for streams. Each is a program below `benches/peers`, installed below `.peers`
//! by `scripts/bench-peers`, which reads the files of [`Input`], prints a
//! [`Run`](crate::harness::Run) and writes its results as [`super::result`] tells.

use std::{path::Path, process::Command};

use super::input::Input;
use crate::harness::{Context, peers, pinned};

/// An engine.
#[derive(Debug)]
pub(super) struct Peer {
    /// As `scripts/bench-peers` names it.
    pub(super) name: &'static str,
    /// Our rate divided by its rate should be at least this.
    pub(super) goal: f64,
    /// Events of a run in the short form. Slow peers get fewer, and ours the same.
    pub(super) short: u64,
    /// Events of a run in the full form.
    pub(super) full: u64,
}

/// All of them.
pub(super) const PEERS: [Peer; 3] = [
    Peer {
        name: "flink",
        goal: 2.0,
        short: 1_000_000,
        full: 10_000_000,
    },
    Peer {
        name: "bytewax",
        goal: 10.0,
        short: 100_000,
        full: 500_000,
    },
    Peer {
        name: "pathway",
        goal: 10.0,
        short: 100_000,
        full: 500_000,
    },
];

impl Peer {
    /// A run of it on the load's core.
    pub(super) fn command(&self, context: &Context, input: &Input, result: &Path) -> Command {
        let cores = &context.cores.load;
        let mut command;
        if self.name == "flink" {
            // 2 GiB are as good for 1,000 series; of 100,000 it then only collects garbage.
            let options = [
                "-Xms8g",
                "-Xmx8g",
                "--add-opens=java.base/java.util=ALL-UNNAMED",
            ];
            command = peers::java(context, cores, self.name, &options, "WindowsJob");
        } else {
            let installed = context.root.join(".peers").join(self.name);
            let source = context.root.join("benches/peers").join(self.name);
            command = pinned(cores, &installed.join("bin/python"));
            command.arg(source.join("windows.py"));
        }
        command
            .args([&input.series, &input.events_file])
            .arg(result);
        command
    }
}
