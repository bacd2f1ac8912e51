//! The process's own figures, read from `/proc/self` at each scrape.
//!
//! They are rendered here and not kept in the recorder, whose counters are
//! whole numbers: CPU time needs its fractions. Off Linux there are none.

use std::{fmt::Write, fs};

/// Clock ticks a second in `/proc`: USER_HZ, 100 on every architecture that
/// Linux's user-space interface has had for decades.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one reading found.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ProcessFigures {
    resident_bytes: u64,
    cpu_seconds: f64,
    start_seconds: f64,
    open_fds: u64,
}

/// The process's resident memory, in bytes; `None` where there is no `/proc`.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    read().map(|figures| figures.resident_bytes)
}

/// The figures in the Prometheus text format; empty where there is no `/proc`.
pub(super) fn render() -> String {
    read().map(|figures| text(&figures)).unwrap_or_default()
}

fn read() -> Option<ProcessFigures> {
    let (cpu_ticks, start_ticks) = ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let boot_seconds = field(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    let resident_kib = field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
    // The open directory is itself one of the descriptors it lists.
    let open_fds = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    Some(ProcessFigures {
        resident_bytes: resident_kib * 1024,
        cpu_seconds: cpu_ticks as f64 / TICKS_PER_SECOND,
        start_seconds: boot_seconds as f64 + start_ticks as f64 / TICKS_PER_SECOND,
        open_fds: open_fds as u64,
    })
}

/// CPU ticks (user and system) and start, from `/proc/self/stat` (proc(5)).
fn ticks(stat: &str) -> Option<(u64, u64)> {
    // The command's name is in parentheses and may hold blanks and more
    // parentheses; field 3 begins after the last one.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let start: u64 = fields.nth(6)?.parse().ok()?;
    Some((user + system, start))
}

/// The first number of the line that begins with `label`.
fn field(text: &str, label: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(label))?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

fn text(figures: &ProcessFigures) -> String {
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: f64| {
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
        );
    };
    metric(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size.",
        figures.resident_bytes as f64,
    );
    metric(
        "process_cpu_seconds_total",
        "counter",
        "User and system CPU time spent.",
        figures.cpu_seconds,
    );
    metric(
        "process_start_time_seconds",
        "gauge",
        "Start of the process since the Unix epoch.",
        figures.start_seconds,
    );
    metric(
        "process_open_fds",
        "gauge",
        "Open file descriptors.",
        figures.open_fds as f64,
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 0 1 2 3 4 150 50 0 0 20 0 9 0 4200 1 2";
        assert_eq!(ticks(stat), Some((200, 4200)));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_line_is_found_by_its_label() {
        assert_eq!(
            field("VmPeak: 1 kB\nVmRSS:\t  2048 kB\n", "VmRSS:"),
            Some(2048)
        );
        assert_eq!(field("", "VmRSS:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_running_process_has_sensible_figures() {
        let figures = read().unwrap();
        assert!(figures.resident_bytes > 1 << 20, "{figures:?}");
        assert!(
            figures.open_fds > 0 && figures.start_seconds > 1.0e9,
            "{figures:?}"
        );
    }
}
