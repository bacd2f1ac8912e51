//! Peers that are installed when they are first needed.

use std::{ffi::OsString, path::Path, process::Command};

use anyhow::{Context as _, ensure};

use super::{Absent, Context, pinned};

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

/// A command that runs a class of a peer in Java, on these cores only; `options` are those of
/// the virtual machine.
pub fn java(context: &Context, cores: &str, name: &str, options: &[&str], class: &str) -> Command {
    let installed = context.root.join(".peers").join(name);
    let mut classes = OsString::from(installed.join("classes"));
    classes.push(":");
    classes.push(installed.join("lib/*"));
    let mut command = pinned(cores, Path::new("java"));
    command.args(options).arg("-cp").arg(classes).arg(class);
    command
}

/// What is reported of a peer that cannot be had or answers wrongly.
pub fn absent(name: &str, why: &anyhow::Error) -> Absent {
    Absent {
        peer: name.to_owned(),
        reason: format!("{why:#}"),
    }
}
