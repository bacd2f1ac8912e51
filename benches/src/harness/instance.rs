//! Processes that a stage starts and ends.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::process::CpuClock;

/// How long one may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that runs until it is stopped; it ends with this value at the latest.
#[derive(Debug)]
pub struct Instance {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Instance {
    /// Starts `command`, whose standard error goes to the file `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// As it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its processor time from now on.
    pub fn clock(&self) -> CpuClock {
        CpuClock::of(self.child.id())
    }

    /// That it still runs.
    ///
    /// # Errors
    /// If it ended, with the last that it said.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last = log.lines().last().unwrap_or_default();
            bail!("{} ended: {status}: {last}", self.name);
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// If it does not, or ends with an error.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").arg(pid).status()?;
        ensure!(asked.success(), "{} cannot be asked to end", self.name);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} ended: {status}", self.name);
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of a program that was built with this one.
///
/// # Errors
/// If it is not there.
pub fn built(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(program);
    ensure!(
        path.exists(),
        "{program} is not built; make bench builds it"
    );
    Ok(path)
}
