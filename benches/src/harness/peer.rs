//! Peers that `scripts/bench-peers` installs below `.peers`.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Context;

/// Installs a peer if it is not there; its version.
///
/// # Errors
/// If it cannot be had.
pub fn install(context: &Context, name: &str) -> anyhow::Result<String> {
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
