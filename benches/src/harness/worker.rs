//! Sides that run inside this program do so in a process of their own each time, a worker, so
//! that neither memory nor caches of one repetition are those of another.

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::{Run, process};

/// What a worker is told.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// Which: a stage and a side, such as `codec-encode-ours`.
    pub name: String,
    /// Events of the workload.
    #[arg(long, default_value_t = 500_000)]
    pub events: u64,
    /// Series of the workload.
    #[arg(long, default_value_t = 1_000)]
    pub series: u32,
    /// Seed of the workload.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A file that says what to load a server with.
    #[arg(long)]
    pub plan: Option<PathBuf>,
    /// A file for the results, so that they can be checked after the timed part.
    #[arg(long)]
    pub result: Option<PathBuf>,
}

impl WorkerArgs {
    /// The plan that [`Context::planned_worker`](super::Context::planned_worker) wrote.
    ///
    /// # Errors
    /// If there is none, or another.
    pub fn read_plan<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let file = self.plan.as_ref().context("--plan is missing")?;
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }
}

/// A stopwatch of wall and processor time that can be stopped in between, for work that comes
/// in pieces whose making must not count.
#[derive(Debug)]
pub struct Stopwatch {
    cpu: f64,
    wall: f64,
    input_mib: f64,
}

impl Stopwatch {
    /// At zero. What is resident now is told as `input_mib`, in MiB: what the worker holds
    /// before anything is timed.
    pub fn new() -> Self {
        Self {
            cpu: 0.0,
            wall: 0.0,
            input_mib: process::resident_bytes() as f64 / f64::from(1 << 20),
        }
    }

    /// Counts what `work` takes. Processor time is that of this thread, in nanoseconds.
    // A function of its own, since `scripts/bench-instructions` counts what is called from it.
    #[inline(never)]
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (cpu, wall) = (thread_cpu_seconds(), Instant::now());
        let value = work();
        self.wall += wall.elapsed().as_secs_f64();
        self.cpu += thread_cpu_seconds() - cpu;
        value
    }

    /// As a run of `events`.
    pub fn run(self, events: u64) -> Run {
        let mut part = process::CpuClock::own().part("process");
        part.cpu_seconds = self.cpu;
        Run {
            events,
            seconds: self.wall,
            parts: vec![part],
            values: [("input_mib".to_owned(), self.input_mib)].into(),
        }
    }
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self::new()
    }
}

/// The kernel's count of nanoseconds that this thread ran.
fn thread_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}
