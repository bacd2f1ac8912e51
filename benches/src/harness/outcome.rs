//! What a stage came to, as plain values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statistics::Spread;

/// What a process, or a group of them, used in a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    pub name: String,
    /// Processor time in seconds, user and system.
    pub cpu_seconds: f64,
    /// Peak resident memory in bytes; 0 if it is not known.
    pub peak_bytes: u64,
}

/// One repetition of one side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    /// Events, or requests or rows if the comparison says so.
    pub events: u64,
    /// Wall time of the timed part in seconds.
    pub seconds: f64,
    /// What its processes used in the timed part.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Other measured values, such as latencies; the unit is in the name.
    #[serde(default)]
    pub values: BTreeMap<String, f64>,
}

impl Run {
    /// Events a second of wall time.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    /// Whether the processor time of any of its processes is known.
    fn is_counted(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Processor time of all parts, in microseconds per event.
    pub fn cpu_micros_per_event(&self) -> f64 {
        let seconds: f64 = self.parts.iter().map(|p| p.cpu_seconds).sum();
        seconds * 1e6 / self.events as f64
    }

    /// The same for a person to read; "-" where no process was counted.
    pub fn cpu_text(&self) -> String {
        if !self.is_counted() {
            return "-".to_owned();
        }
        format!("{:.3}", self.cpu_micros_per_event())
    }

    /// The largest peak of its parts, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.peak_bytes).max().unwrap_or(0)
    }
}

/// Ours, and the peer's right after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    /// A.
    pub ours: Run,
    /// B.
    pub peer: Run,
}

/// What the median of the ratios should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Our rate divided by the peer's is at least this.
    RateAtLeast(f64),
    /// Our time per event divided by the peer's is at most this.
    TimeAtMost(f64),
    /// No goal is set: the comparison is for the reader.
    None,
}

/// Ours against one peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// Unique within the stage.
    pub name: String,
    /// What ours is.
    pub ours: String,
    /// What the peer is, with its version.
    pub peer: String,
    /// What [`Run::events`] counts, in the plural.
    pub unit: String,
    /// What should come of it.
    pub goal: Goal,
    /// Every repetition.
    pub pairs: Vec<Pair>,
    /// How to run each side alone.
    pub commands: Vec<String>,
}

impl Comparison {
    /// The ratio of a pair, in the sense of the goal.
    pub fn ratio(&self, pair: &Pair) -> f64 {
        match self.goal {
            Goal::TimeAtMost(_) => pair.peer.rate() / pair.ours.rate(),
            Goal::RateAtLeast(_) | Goal::None => pair.ours.rate() / pair.peer.rate(),
        }
    }

    /// The same of processor time per event instead of wall time.
    pub fn cpu_ratio(&self, pair: &Pair) -> f64 {
        let time = pair.ours.cpu_micros_per_event() / pair.peer.cpu_micros_per_event();
        match self.goal {
            Goal::TimeAtMost(_) => time,
            Goal::RateAtLeast(_) | Goal::None => 1.0 / time,
        }
    }

    /// Median and extremes of [`Comparison::ratio`].
    pub fn spread(&self) -> Spread {
        self.pairs.iter().map(|pair| self.ratio(pair)).collect()
    }

    /// Median and extremes of [`Comparison::cpu_ratio`]; `None` where a side was not counted.
    pub fn cpu_spread(&self) -> Option<Spread> {
        let counted = |pair: &Pair| pair.ours.is_counted() && pair.peer.is_counted();
        let ratios = || self.pairs.iter().map(|pair| self.cpu_ratio(pair)).collect();
        self.pairs.iter().all(counted).then(ratios)
    }

    /// Whether the median reaches the goal; `None` without a goal.
    pub fn is_met(&self) -> Option<bool> {
        let median = self.spread().median;
        match self.goal {
            Goal::RateAtLeast(least) => Some(median >= least),
            Goal::TimeAtMost(most) => Some(median <= most),
            Goal::None => None,
        }
    }
}

/// An absolute value and the bound it should keep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bound {
    /// What it is, with its unit.
    pub name: String,
    /// Every repetition.
    pub values: Vec<f64>,
    /// The median should be at most this, or at least it if `at_least`.
    pub bound: f64,
    /// Which way the bound holds.
    pub at_least: bool,
}

impl Bound {
    /// Median and extremes.
    pub fn spread(&self) -> Spread {
        self.values.iter().copied().collect()
    }

    /// Whether the median keeps the bound.
    pub fn is_met(&self) -> bool {
        let median = self.spread().median;
        if self.at_least {
            median >= self.bound
        } else {
            median <= self.bound
        }
    }
}

/// A peer that was not compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Absent {
    /// Which.
    pub peer: String,
    /// Why: it cannot be had, or which answer of it was wrong.
    pub reason: String,
}

/// What a stage came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Ours against peers.
    pub comparisons: Vec<Comparison>,
    /// Absolute values with bounds.
    pub bounds: Vec<Bound>,
    /// Peers that were not compared.
    pub absent: Vec<Absent>,
    /// What else the reader should know: what was checked, what the timed part leaves out.
    pub notes: Vec<String>,
    /// Versions of the peers and servers of this stage, by name.
    pub versions: BTreeMap<String, String>,
}
