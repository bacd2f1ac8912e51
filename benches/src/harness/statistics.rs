//! Median and extremes of a few repetitions.

use std::{collections::BTreeMap, fmt};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The median and the extremes. Five repetitions are too few for a deviation to mean much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one, or the mean of the two in the middle; NaN of none.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Self {
            min: values.first().copied().unwrap_or(f64::NAN),
            median,
            max: values.last().copied().unwrap_or(f64::NAN),
        }
    }
}

/// The median and, in brackets, the extremes, with two decimals unless a precision is asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, median, max } = self;
        let decimals = f.precision().unwrap_or(2);
        write!(
            f,
            "{median:.decimals$} ({min:.decimals$} to {max:.decimals$})"
        )
    }
}

/// `p50_ms`, `p95_ms` and `p99_ms` of latencies in microseconds: values of a [`super::Run`].
pub fn latencies(micros: &Histogram<u64>) -> BTreeMap<String, f64> {
    let named = |(name, quantile): (&str, f64)| {
        let millis = micros.value_at_quantile(quantile) as f64 / 1000.0;
        (name.to_owned(), millis)
    };
    [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)]
        .into_iter()
        .map(named)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_told_in_milliseconds() {
        let mut micros = Histogram::new(3).unwrap();
        (1..=100).for_each(|n| micros.record(n * 1000).unwrap());
        let told: Vec<(String, f64)> = latencies(&micros).into_iter().collect();
        let near = |(name, millis): &(String, f64)| format!("{name} {millis:.0}");
        let told: Vec<String> = told.iter().map(near).collect();
        assert_eq!(told, ["p50_ms 50", "p95_ms 95", "p99_ms 99"]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let spread: Spread = [3.0, 1.0, 9.0].into_iter().collect();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 3.0, 9.0));
        let spread: Spread = [4.0, 1.0, 2.0, 9.0].into_iter().collect();
        assert_eq!(spread.median, 3.0);
        assert!([].into_iter().collect::<Spread>().median.is_nan());
    }
}
