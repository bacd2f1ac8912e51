//! What is answered, in JSON.

use schemas::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::robust::Basis;
use crate::rollups::Measure;

/// Hours that stand out, and what was looked at.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Anomalies {
    /// The range's start, as given or by default.
    #[schema(format = DateTime)]
    pub(crate) start_date: String,
    /// The range's end, as given or by default.
    #[schema(format = DateTime)]
    pub(crate) end_date: String,
    /// Hours that end by this instant are complete, and only those are judged: none while it
    /// is null.
    #[schema(format = DateTime, required = true)]
    pub(crate) watermark: Option<String>,
    /// What `z` had to exceed, upwards or downwards.
    pub(crate) threshold: f64,
    /// How many pairs of an hour and a measure had at least four weeks of history, and so were
    /// judged.
    pub(crate) judged: usize,
    /// The newest first, at most 500.
    pub(crate) data: Vec<Anomaly>,
    /// Whether there were more than 500, and the oldest were left out.
    pub(crate) more: bool,
}

/// An hour that stands out against the same hour of the weeks before, with all the numbers that
/// led to it: `z = (value - median) / scale`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Anomaly {
    /// The hour's start.
    #[schema(format = DateTime)]
    pub(crate) bucket_start: String,
    #[schema(example = "1h")]
    pub(crate) window: &'static str,
    pub(crate) measure: Measure,
    /// In this hour.
    pub(crate) value: f64,
    /// Of the history.
    pub(crate) median: f64,
    /// Median of the absolute deviations from the median.
    pub(crate) mad: f64,
    /// Mean of the absolute deviations from the median.
    pub(crate) mean_ad: f64,
    /// What counts as one standard deviation; `basis` says where it is from.
    pub(crate) scale: f64,
    /// `mad`: `mad / 0.6745`, as Iglewicz and Hoaglin have it. `mean_ad`: `1.2533 * mean_ad`,
    /// where `mad` is zero. `floor`: what the measure scatters at least, where that is more:
    /// of counts `sqrt(max(median, 1))` (Poisson), of error rates
    /// `sqrt(p (1 - p) / n)` of the hour's `n` commands with `p = (median n + 1) / (n + 2)`,
    /// of others 9 % of the median.
    #[schema(inline)]
    pub(crate) basis: Basis,
    /// How many standard deviations from the median; negative below it.
    pub(crate) z: f64,
    /// The same hour of the eight weeks before, as far as it is known, the oldest first.
    pub(crate) history: Vec<PastHour>,
}

/// The measure in an hour of an earlier week.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PastHour {
    /// The hour's start.
    #[schema(format = DateTime)]
    pub(crate) bucket_start: String,
    pub(crate) value: f64,
}

impl PastHour {
    pub(crate) fn of(bucket_start: Timestamp, value: f64) -> Self {
        Self {
            bucket_start: bucket_start.to_string(),
            value,
        }
    }
}
