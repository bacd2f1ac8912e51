//! What a case comes to: one line of the table.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) case: String,
    pub(crate) rounds: u32,
    /// Accepted, apart from repetitions.
    pub(crate) events: usize,
    /// Accepted once more, and dropped on purpose.
    pub(crate) repeated: u64,
    /// Without an answer, and so either stored or not.
    pub(crate) unknown: usize,
    pub(crate) dead_letters: usize,
    /// The longest time without anything stored, under load.
    pub(crate) longest_pause: f64,
    /// The largest of a process, in bytes.
    pub(crate) memory: u64,
    pub(crate) took: Duration,
}

pub(crate) const HEAD: &str = "case                          rounds   events  repeated  unknown  \
    dead letters  longest pause    memory  seconds";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<28}  {:>6}  {:>7}  {:>8}  {:>7}  {:>12}  {:>11.1} s  {:>3} MiB  {:>7}",
            self.case,
            self.rounds,
            self.events,
            self.repeated,
            self.unknown,
            self.dead_letters,
            self.longest_pause,
            self.memory >> 20,
            self.took.as_secs()
        )
    }
}
