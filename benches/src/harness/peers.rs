//! Peers that are installed when they are first needed.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::{Absent, Context};

/// Installs a peer below `.peers` if it is not there, by `scripts/bench-peers`; its version.
///
/// # Errors
/// If it cannot be had, with the last that was said of it.
pub fn version(context: &Context, name: &str) -> anyhow::Result<String> {
    let script = context.root.join("scripts/bench-peers");
    let output = Command::new(script)
        .arg(name)
        .output()
        .context("cannot run scripts/bench-peers")?;
    let error = String::from_utf8_lossy(&output.stderr);
    let last = error.lines().last().unwrap_or_default();
    ensure!(
        output.status.success(),
        "scripts/bench-peers {name}: {last}"
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What is reported of a peer that cannot be had or answers wrongly.
pub fn absent(name: &str, why: &anyhow::Error) -> Absent {
    Absent {
        peer: name.to_owned(),
        reason: format!("{why:#}"),
    }
}
