//! PostgreSQL's own load generator.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use super::mix::{INSTANTS, Query};
use crate::harness::{Context, Run, pinned, statistics::latencies};

/// How statements reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Parsed and planned each time, as pgbench does unless told otherwise.
    Simple,
    /// Kept prepared, and planned for the values of each time, as by the query API.
    Prepared,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Prepared => "prepared",
        }
    }

    /// What is between statements that are sent at once. A prepared one is sent alone.
    pub(super) fn at_once(self) -> &'static str {
        match self {
            Self::Simple => " \\; ",
            Self::Prepared => ";\n",
        }
    }

    /// A variable of scripts: in simple mode it stands in the statement as it is.
    fn define(self, (name, value): (&str, &str)) -> String {
        match self {
            Self::Simple => format!("--define={name}='{value}'"),
            Self::Prepared => format!("--define={name}={value}"),
        }
    }
}

/// Scripts that are run in turns, by chance, each as often as the others.
pub(super) struct Pgbench {
    mode: Mode,
    scripts: Vec<PathBuf>,
    database_url: String,
}

/// What the installed one says of itself; `None`: there is none.
pub(super) fn version() -> Option<String> {
    let output = Command::new("pgbench").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Pgbench {
    pub(super) fn new(
        context: &Context,
        database_url: &str,
        mode: Mode,
        queries: &[Query],
    ) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for (number, query) in queries.iter().enumerate() {
            let name = format!("query-{}-{number}.sql", mode.name());
            let file = context.scratch.join(name);
            fs::write(&file, query.script(mode.at_once()))?;
            files.push(file);
        }
        Ok(Self {
            mode,
            scripts: files,
            database_url: database_url.to_owned(),
        })
    }

    /// Runs them; latencies are those of its log, in milliseconds.
    pub(super) fn run(&self, context: &Context, seconds: f64) -> anyhow::Result<Run> {
        let log = context.scratch.join("pgbench-log");
        let clients = super::CLIENTS.to_string();
        let mut command = pinned(&context.cores.load, "pgbench".as_ref());
        command
            .args(["--no-vacuum", "--jobs=1", "--log", "--client", &clients])
            .arg(format!("--time={seconds:.0}"))
            .arg(format!("--log-prefix={}", log.display()))
            // As the services' connections have it.
            .env(
                "PGOPTIONS",
                "-c jit=off -c plan_cache_mode=force_custom_plan",
            )
            .arg(format!("--protocol={}", self.mode.name()))
            .args(INSTANTS.map(|instant| self.mode.define(instant)))
            .stdin(Stdio::null());
        for script in &self.scripts {
            command.arg("--file").arg(script);
        }
        let began = Instant::now();
        let output = command.arg(&self.database_url).output();
        let output = output.context("pgbench cannot be started")?;
        let seconds = began.elapsed().as_secs_f64();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgbench: {errors}");
        self.read(context, seconds)
    }

    /// Reads the log, whose name ends with the process's number, and removes it.
    fn read(&self, context: &Context, seconds: f64) -> anyhow::Result<Run> {
        // In microseconds.
        let mut all = Histogram::<u64>::new(3)?;
        for entry in fs::read_dir(&context.scratch)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with("pgbench-log.") {
                continue;
            }
            for line in fs::read_to_string(&path)?.lines() {
                // Client, number, microseconds, …
                let time = line.split(' ').nth(2).and_then(|time| time.parse().ok());
                all.record(time.with_context(|| format!("pgbench's log: {line}"))?)?;
            }
            fs::remove_file(path)?;
        }
        ensure!(!all.is_empty(), "pgbench did nothing");
        Ok(Run {
            events: all.len(),
            seconds,
            parts: Vec::new(),
            values: latencies(&all),
        })
    }
}
