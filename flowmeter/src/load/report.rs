//! What a load run amounted to.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Counts of events, and latencies of requests.
#[derive(Debug, Clone)]
pub struct Report {
    /// Events sent, each once however often its request was repeated.
    pub sent: u64,
    /// Events acknowledged.
    pub accepted: u64,
    /// Events refused for good.
    pub refused: u64,
    /// Requests repeated because the service or the broker was away or busy.
    pub repeated: u64,
    /// The first refusal, in the service's words.
    pub first_refusal: Option<String>,
    /// Of the whole run.
    pub elapsed: Duration,
    /// Of requests that were answered, in microseconds.
    latency: Histogram<u64>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            sent: 0,
            accepted: 0,
            refused: 0,
            repeated: 0,
            first_refusal: None,
            elapsed: Duration::ZERO,
            latency: Histogram::new(3).expect("3 digits are possible"),
        }
    }
}

impl Report {
    /// Adds what another sender did.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.repeated += other.repeated;
        if self.first_refusal.is_none() {
            self.first_refusal.clone_from(&other.first_refusal);
        }
        self.latency += &other.latency;
    }

    pub(crate) fn refuse(&mut self, events: u64, why: impl FnOnce() -> String) {
        self.refused += events;
        if events > 0 {
            self.first_refusal.get_or_insert_with(why);
        }
    }

    pub(crate) fn answered(&mut self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        // It grows as needed, and five minutes are far within what it can hold.
        let _ = self.latency.record(micros);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |q: f64| self.latency.value_at_quantile(q) as f64 / 1000.0;
        let seconds = self.elapsed.as_secs_f64();
        writeln!(
            f,
            "sent      {} events in {seconds:.1} s, {:.0} a second",
            self.sent,
            self.sent as f64 / seconds.max(1e-9)
        )?;
        writeln!(f, "accepted  {}", self.accepted)?;
        writeln!(f, "refused   {}", self.refused)?;
        writeln!(f, "repeated  {} requests", self.repeated)?;
        write!(
            f,
            "latency   p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, of {} requests",
            ms(0.5),
            ms(0.95),
            ms(0.99),
            self.latency.max() as f64 / 1000.0,
            self.latency.len()
        )
    }
}
