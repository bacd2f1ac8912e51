//! Processor time and memory of processes, as Linux tells them in `/proc`.

use std::{fmt::Display, fs};

use super::Part;

/// Clock ticks of a second in `/proc`: 100 on every Linux.
const TICKS: f64 = 100.0;

/// The processor time of a process from a moment on.
#[derive(Debug)]
pub struct CpuClock {
    process: String,
    began: f64,
}

impl CpuClock {
    /// This process, from now on.
    pub fn own() -> Self {
        Self::since_now("self")
    }

    /// The process `pid`, from now on.
    pub fn of(pid: u32) -> Self {
        Self::since_now(pid)
    }

    fn since_now(process: impl ToString) -> Self {
        let process = process.to_string();
        let began = cpu_seconds(&process);
        Self { process, began }
    }

    /// What it used since, in seconds, to a hundredth; 0 if it is gone.
    pub fn elapsed(&self) -> f64 {
        (cpu_seconds(&self.process) - self.began).max(0.0)
    }

    /// The same, and the peak of its memory since it
    /// began. Both are 0 if it is gone.
    pub fn part(&self, name: &str) -> Part {
        Part {
            name: name.to_owned(),
            cpu_seconds: self.elapsed(),
            peak_bytes: status_bytes(&self.process, "VmHWM:"),
        }
    }
}

/// Resident memory of this process in bytes.
pub fn resident_bytes() -> u64 {
    status_bytes("self", "VmRSS:")
}

/// User and system time in seconds of all threads of a process since it began, ended ones as
/// well, and not of child processes; 0 if it is none of this machine.
pub fn cpu_seconds(process: impl Display) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn status_bytes(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_gone_one_has_none() {
        let own = CpuClock::own().part("own");
        assert!(own.peak_bytes >= resident_bytes() / 2 && own.peak_bytes > 0);
        let gone = CpuClock::of(u32::MAX).part("gone");
        assert_eq!((gone.cpu_seconds, gone.peak_bytes), (0.0, 0));
    }
}
