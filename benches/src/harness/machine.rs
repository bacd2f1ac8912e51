//! What the benchmarks ran on.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Facts of the machine, the tools and the crates, by name.
pub fn facts(root: &Path) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut tell = |name: &str, fact: Option<String>| {
        facts.insert(
            name.to_owned(),
            fact.unwrap_or_else(|| "unknown".to_owned()),
        );
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpu = read("/proc/cpuinfo");
    tell("processor", field(&cpu, "model name"));
    let cores = std::thread::available_parallelism().ok();
    tell("cores", cores.map(|n| n.to_string()));
    tell("memory", field(&read("/proc/meminfo"), "MemTotal"));
    tell(
        "kernel",
        Some(read("/proc/sys/kernel/osrelease").trim().to_owned()),
    );
    tell(
        "load average at start",
        Some(read("/proc/loadavg").trim().to_owned()),
    );
    tell("rustc", first_line("rustc", &["--version"], root));
    tell("java", first_line("java", &["-version"], root));
    tell("python", first_line("python3", &["--version"], root));
    tell(
        "commit",
        first_line("git", &["rev-parse", "--short=12", "HEAD"], root),
    );
    let changed = first_line("git", &["status", "--porcelain"], root);
    tell(
        "changed files",
        Some(if changed.is_some() { "yes" } else { "no" }.to_owned()),
    );
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    for name in [
        "serde_avro_fast",
        "rdkafka",
        "axum",
        "tokio",
        "sqlx",
        "tikv-jemallocator",
    ] {
        tell(name, locked(&lock, name));
    }
    facts
}

/// The version of a crate in the lock file.
fn locked(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next().map(str::to_owned)
}

/// The first line that a command prints, on either output.
fn first_line(program: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().map(str::to_owned)
}
