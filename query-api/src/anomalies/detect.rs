//! Which hours stand out against the same hour of the weeks before.

use std::collections::BTreeMap;

use schemas::{Timestamp, Window};

use super::{
    answer::{Anomaly, PastHour},
    params::{Query, WEEK_SECONDS, WEEKS},
    robust::Spread,
};
use crate::{aggregated::fold::Group, rollups::Measure};

/// Weeks of history that a judgement needs at least.
pub(crate) const FEWEST_WEEKS: usize = 4;
/// Of a p95, a sum of tokens or a cost, the share of its median that is never an anomaly: twice
/// what a quantile may be off, 4.5 %.
const LEAST_SHARE: f64 = 0.09;

/// The hours in which there was something, and since when there was anything.
#[derive(Debug)]
pub(super) struct History {
    pub(super) hours: BTreeMap<Timestamp, Group>,
    /// The start of the first hour with an event, or an instant after it; `None` of no events.
    pub(super) since: Option<Timestamp>,
}

/// What was found, and how much was looked at.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The newest first, and at most as many as the query wants.
    pub(crate) found: Vec<Anomaly>,
    /// Hours and measures that had enough history to be judged.
    pub(crate) judged: usize,
    /// Whether there were more anomalies.
    pub(crate) more: bool,
}

impl History {
    /// Judges every complete hour of the range.
    pub(super) fn judge(&self, query: &Query, watermark: Option<Timestamp>) -> Found {
        let mut all = Found::default();
        let Some(watermark) = watermark else {
            return all;
        };
        let hour = Window::H1.seconds();
        let mut at = Window::H1.start(query.end.min(watermark));
        // An hour that holds the end counts if it is complete.
        if at < query.end && at.saturating_add_seconds(hour) <= watermark {
            at = at.saturating_add_seconds(hour);
        }
        let first = Window::H1.start(query.start);
        while at > first {
            at = at.saturating_add_seconds(-hour);
            for measure in query.measures() {
                let Some(judged) = self.judge_one(at, measure) else {
                    continue;
                };
                all.judged += 1;
                if judged.z.abs() <= query.threshold {
                    continue;
                }
                if all.found.len() < query.limit {
                    all.found.push(judged);
                } else {
                    all.more = true;
                }
            }
        }
        all
    }

    /// One measure of one hour; `None` where it cannot be judged.
    fn judge_one(&self, at: Timestamp, measure: Measure) -> Option<Anomaly> {
        let value = self.value(at, measure)?;
        let weeks = (1..=WEEKS).rev();
        let past: Vec<PastHour> = weeks
            .filter_map(|ago| {
                let bucket_start = at.saturating_add_seconds(-ago * WEEK_SECONDS);
                let value = self.value(bucket_start, measure)?;
                Some(PastHour::of(bucket_start, value))
            })
            .collect();
        if past.len() < FEWEST_WEEKS {
            return None;
        }
        let values: Vec<f64> = past.iter().map(|hour| hour.value).collect();
        let spread = Spread::of(&values)?;
        let (scale, basis) = spread.scale(self.floor(at, measure, spread.median))?;
        Some(Anomaly {
            bucket_start: at.to_string(),
            window: Window::H1.as_str(),
            measure,
            value,
            median: spread.median,
            mad: spread.mad,
            mean_ad: spread.mean_ad,
            scale,
            basis,
            z: (value - spread.median) / scale,
            history: past,
        })
    }

    /// An hour without events counts as zero, but not before there was anything.
    fn value(&self, at: Timestamp, measure: Measure) -> Option<f64> {
        match self.hours.get(&at) {
            Some(events) => measure.of(events),
            None => measure
                .of_nothing()
                .filter(|_| self.since.is_some_and(|since| since <= at)),
        }
    }

    /// The scatter that a measure has at least, whatever its few past values say: eight weeks
    /// may agree by chance.
    fn floor(&self, at: Timestamp, measure: Measure, median: f64) -> f64 {
        match measure {
            // Independent events, counted: Poisson, σ² = mean.
            Measure::Commands | Measure::Agents => median.max(1.0).sqrt(),
            // Independent commands, each of which fails or not: binomial. One success and one
            // failure more (Laplace), so that one command alone proves nothing.
            Measure::ErrorRate => {
                let n = self
                    .hours
                    .get(&at)
                    .map_or(0, |events| events.commands.count) as f64;
                let p = (median * n + 1.0) / (n + 2.0);
                (p * (1.0 - p) / n.max(1.0)).sqrt()
            }
            Measure::P95Ms | Measure::Tokens | Measure::CostUsd => median * LEAST_SHARE,
        }
    }
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
