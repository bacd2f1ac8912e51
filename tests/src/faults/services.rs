//! Services as processes of their own, which can be killed and stopped.
//!
//! A process is this very program with a test of its own to run: no other program has to be
//! built, and what runs is what the tests were built from.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use clap::Parser;
use uuid::Uuid;

use crate::pipeline::eventually;

/// Tells the process which service it is.
const SERVICE: &str = "FAULT_SERVICE";
const ENTRY: &str = "faults::services::this_process_is_a_service";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Gateway,
    Aggregator,
    Sink,
    Query,
    Jobs,
}

impl Service {
    /// Those that events and answers pass.
    pub(crate) const ALL: [Self; 4] = [Self::Gateway, Self::Aggregator, Self::Sink, Self::Query];

    /// The subcommand.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Aggregator => "aggregator",
            Self::Sink => "sink",
            Self::Query => "query",
            Self::Jobs => "jobs",
        }
    }
}

/// One process of a service, which may be started again and again.
pub(crate) struct Instance {
    pub(crate) service: Service,
    pub(crate) name: String,
    pub(crate) port: u16,
    admin_port: u16,
    variables: Vec<(&'static str, String)>,
    log: PathBuf,
    child: Option<Child>,
    /// Holds the process stopped until it is dropped.
    stopped: Option<Child>,
}

impl Instance {
    /// Starts one, whose log is in `folder`.
    pub(crate) fn start(
        service: Service,
        number: usize,
        port: u16,
        variables: Vec<(&'static str, String)>,
        folder: &Path,
    ) -> Self {
        let name = format!("{}-{number}", service.name());
        let mut instance = Self {
            service,
            port,
            admin_port: free_port(),
            variables,
            log: folder.join(format!("{name}.log")),
            child: None,
            stopped: None,
            name,
        };
        instance.run(true);
        instance
    }

    /// Starts the process again. A name that stays lets a successor end what its predecessor
    /// left open at once; with another, the broker has to find out.
    pub(crate) fn run(&mut self, same_name: bool) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let instance_id = if same_name {
            self.name.clone()
        } else {
            format!("{}-{}", self.name, Uuid::new_v4().simple())
        };
        let open = |path: &Path| -> File {
            let mut options = OpenOptions::new();
            options.create(true).append(true).open(path).unwrap()
        };
        let child = Command::new(std::env::current_exe().unwrap())
            .args([ENTRY, "--exact", "--ignored", "--nocapture"])
            .env_remove("REDIS_URL")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env(SERVICE, self.service.name())
            .env("INSTANCE_ID", instance_id)
            .env("PORT", self.port.to_string())
            .env("ADMIN_PORT", self.admin_port.to_string())
            .env("RUST_BACKTRACE", "0")
            // Of the requests, of which there are thousands, only what went wrong.
            .env("LOG_LEVEL", "info,platform::http::layers=warn")
            .stdin(Stdio::piped())
            .stdout(open(&self.log))
            .stderr(open(&self.log))
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub(crate) fn start_again_if_ended(&mut self) {
        if !self.is_running() {
            self.kill();
            self.run(true);
        }
    }

    /// SIGKILL, which nobody can prepare for.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.resume();
    }

    /// SIGTERM; waits until it has ended by itself.
    pub(crate) async fn end(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        signal("TERM", child.id());
        let what = format!("{} ends", self.name);
        let status: ExitStatus = eventually(&what, || {
            let ended = child.try_wait().unwrap();
            async move { ended }
        })
        .await;
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// SIGSTOP. Should the tests end meanwhile, however that is, the process goes on, and
    /// then ends as it finds itself alone.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let script = "kill -s STOP \"$0\" && echo && { read -r _ || true; kill -s CONT \"$0\"; }";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, &pid]).stdin(Stdio::piped());
        let mut guard = shell.stdout(Stdio::piped()).spawn().unwrap();
        let mut told = [0];
        let mut output = guard.stdout.take().unwrap();
        std::io::Read::read_exact(&mut output, &mut told).unwrap();
        self.stopped = Some(guard);
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) {
        if let Some(mut guard) = self.stopped.take() {
            drop(guard.stdin.take());
            // It cannot continue a process that was killed meanwhile.
            let _ = guard.wait();
        }
    }

    /// Resident memory, in bytes; `None` when it does not run.
    pub(crate) fn memory(&self) -> Option<u64> {
        let pid = self.child.as_ref()?.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes << 10)
    }

    /// The end of its log.
    pub(crate) fn last_words(&self, lines: usize) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = (child.kill(), child.wait());
        }
        self.resume();
    }
}

/// The standard library has no call for it, and ours allows no unsafe one.
fn signal(name: &str, pid: u32) {
    let mut command = Command::new("sh");
    let script = format!("kill -s {name} {pid}");
    assert!(command.args(["-c", &script]).status().unwrap().success());
}

/// A port that nobody listens on and that no connection gets by chance, as it is below those
/// that the system hands out: it stays free while a service is started again.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = rand::random_range(18_000..32_000);
        let is_free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// Not a test: what [`Instance::run`] starts.
#[test]
#[ignore = "run by the fault suite as a service's process"]
fn this_process_is_a_service() {
    let Ok(service) = std::env::var(SERVICE) else {
        return;
    };
    // The tests hold the other end: it ends when they do, however they do.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let cli = flowmeter::Cli::parse_from(["flowmeter", &service]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(flowmeter::run(cli)).unwrap();
}
