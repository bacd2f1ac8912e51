//! What stages run with: options, cores, a folder, and the loop of pairs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::{Pair, Run};
use crate::workload::Workload;

/// What a person chose on the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// The full form rather than the short one.
    pub full: bool,
    /// Of all workloads.
    pub seed: u64,
    /// Series of workload W1.
    pub series: u32,
    /// Pairs of each comparison.
    pub pairs: usize,
    /// Events a second of the stage that has all services under load.
    pub rate: u64,
}

impl Options {
    /// Workload W1, from its beginning.
    pub(crate) fn workload(&self) -> Workload {
        Workload::new(self.seed, self.series)
    }
}

/// Which cores a stage with two sides uses, as lists for `taskset`.
#[derive(Debug, Clone)]
pub struct Cores {
    /// Of the load, and of all that has one side only.
    pub load: String,
    /// Of the server.
    pub server: String,
}

impl Cores {
    /// The first of the cores that this process may use for the load, the rest for servers;
    /// one core is used for both.
    pub fn detect() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = status
            .lines()
            .find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
        let mut cores: Vec<u32> = Vec::new();
        for range in allowed.unwrap_or("0").trim().split(',') {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            if let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>()) {
                cores.extend(from..=to);
            }
        }
        let list = |cores: &[u32]| {
            cores
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        let load = list(&cores[..cores.len().min(1)]);
        let server = if cores.len() > 1 {
            list(&cores[1..])
        } else {
            load.clone()
        };
        Self { load, server }
    }
}

/// What stages run with.
#[derive(Debug)]
pub struct Context {
    /// What was chosen.
    pub options: Options,
    /// For `taskset`.
    pub cores: Cores,
    /// The root of the project.
    pub root: PathBuf,
    /// A folder for inputs and results of runs; it is there.
    pub scratch: PathBuf,
}

impl Context {
    /// `full` in the full form, or else `short`.
    pub fn choose<T>(&self, short: T, full: T) -> T {
        if self.options.full { full } else { short }
    }

    /// A line of progress on standard error.
    #[allow(clippy::print_stderr, reason = "it is the command's progress")]
    pub fn say(&self, text: impl AsRef<str>) {
        eprintln!("bench: {}", text.as_ref());
    }

    /// Runs `ours` and `peer` in turns: one pair to warm up, which does not count, then as
    /// many as were chosen.
    ///
    /// # Errors
    /// Those of the runs.
    pub fn alternate(
        &self,
        name: &str,
        mut ours: impl FnMut() -> anyhow::Result<Run>,
        mut peer: impl FnMut() -> anyhow::Result<Run>,
    ) -> anyhow::Result<Vec<Pair>> {
        let mut pairs = Vec::with_capacity(self.options.pairs);
        for number in 0..=self.options.pairs {
            let pair = Pair {
                ours: ours().with_context(|| format!("{name}: ours"))?,
                peer: peer().with_context(|| format!("{name}: the peer"))?,
            };
            let (a, b) = (&pair.ours, &pair.peer);
            ensure!(
                a.seconds > 0.0 && b.seconds > 0.0,
                "{name}: a run took no time"
            );
            self.say(format!(
                "{name}: pair {number} of {}{}: {:.0}/s against {:.0}/s; us of processor: {} against {}",
                self.options.pairs,
                if number == 0 { " (warm-up)" } else { "" },
                a.rate(),
                b.rate(),
                a.cpu_text(),
                b.cpu_text(),
            ));
            if number > 0 {
                pairs.push(pair);
            }
        }
        Ok(pairs)
    }

    /// The command that runs a worker ([`super::worker`]) of this program on the load's core.
    ///
    /// # Errors
    /// If this program's path is unknown.
    pub fn worker(&self, name: &str, arguments: &[String]) -> anyhow::Result<Command> {
        worker_on(Some(&self.cores.load), name, arguments)
    }

    /// The command that runs a worker with a plan, in a file of the scratch folder, on `cores` or
    /// on all.
    ///
    /// # Errors
    /// If the file cannot be written, or this program's path is unknown.
    pub fn planned_worker(
        &self,
        cores: Option<&str>,
        name: &str,
        plan: &impl Serialize,
    ) -> anyhow::Result<Command> {
        let file = self.scratch.join(format!("{name}.json"));
        fs::write(&file, serde_json::to_vec(plan)?)?;
        worker_on(cores, name, &[format!("--plan={}", file.display())])
    }

    /// Runs a command that prints a [`Run`] as JSON, as its last line. Its standard error goes
    /// to a file in the scratch folder, the end of which is told if it fails.
    ///
    /// # Errors
    /// If it fails, prints something else, or takes longer than `patience`.
    pub fn measure(&self, mut command: Command, patience: Duration) -> anyhow::Result<Run> {
        let log = self.scratch.join("last-run.log");
        let shown = shown(&command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {shown}"))?;
        let deadline = Instant::now() + patience;
        // It prints one line at its end, which fits the pipe.
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("it took longer than {} s: {shown}", patience.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut text = String::new();
        if let Some(mut output) = child.stdout.take() {
            std::io::Read::read_to_string(&mut output, &mut text)?;
        }
        if !status.success() {
            let log = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(8)..].join(" / ");
            bail!("{status}: {shown}: {last}");
        }
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("{shown} printed {line:?}"))
    }
}

fn worker_on(cores: Option<&str>, name: &str, arguments: &[String]) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = on(cores, &program);
    command.arg("worker").arg(name).args(arguments);
    Ok(command)
}

/// A command that runs `program` on these cores only.
pub fn pinned(cores: &str, program: &Path) -> Command {
    on(Some(cores), program)
}

/// A command that runs `program` on these cores only, or on any. It ends with whoever starts it,
/// however that is: nothing is left running that would disturb the next measurement.
pub(super) fn on(cores: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(cores) = cores {
        command.args(["taskset", "-c", cores]);
    }
    command.arg(program);
    command
}

/// As a person would type it, without folders of this machine.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| {
        let word = word.to_string_lossy();
        match word.strip_prefix('/') {
            Some(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
            None => word.into_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
