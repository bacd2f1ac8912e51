//! Median and extremes of a few repetitions.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread: Spread = [3.0, 1.0, 9.0].into_iter().collect();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 3.0, 9.0));
        let spread: Spread = [4.0, 1.0, 2.0, 9.0].into_iter().collect();
        assert_eq!(spread.median, 3.0);
        assert!([].into_iter().collect::<Spread>().median.is_nan());
    }
}
