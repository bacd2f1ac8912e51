//! How long records took since the log had them.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::histogram;
use schemas::Timestamp;

use crate::clock;

/// Records by log time, whose delay is told when they all arrived where they should.
#[derive(Debug, Default)]
pub struct Delays(BTreeMap<Timestamp, usize>);

impl Delays {
    /// One more record.
    pub fn add(&mut self, log_time: Timestamp) {
        *self.0.entry(log_time).or_default() += 1;
    }

    /// The log time of the oldest.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.0.keys().next().copied()
    }

    /// They arrived now: each one's delay goes to the histogram `name`, and they are forgotten.
    pub fn arrived(&mut self, name: &'static str) {
        let now = clock::now();
        let delays = histogram!(name);
        for (log_time, records) in std::mem::take(&mut self.0) {
            // The broker's clock may be ahead.
            let micros = now.micros().saturating_sub(log_time.micros()).max(0);
            delays.record_many(Duration::from_micros(micros.unsigned_abs()), records);
        }
    }
}
