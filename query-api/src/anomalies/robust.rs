//! How far a value is from others, by median and median absolute deviation, which a few strange
//! values among them do not move.

/// Of a normal distribution, MAD / σ. The modified z-score of Iglewicz and Hoaglin, "How to
/// Detect and Handle Outliers" (1993), is `0.6745 (x − median) / MAD`.
const MAD_OF_SIGMA: f64 = 0.6745;
/// Of a normal distribution, σ / mean absolute deviation: √(π / 2).
const SIGMA_OF_MEAN_AD: f64 = 1.2533;

/// The values' middle and scatter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// Median of the absolute deviations from the median.
    pub(crate) mad: f64,
    /// Mean of the absolute deviations from the median.
    pub(crate) mean_ad: f64,
}

/// By what a deviation is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Basis {
    /// `mad / 0.6745`.
    Mad,
    /// `1.2533 * mean_ad`: over half of the values are equal, so that `mad` is zero.
    MeanAd,
    /// The measure's own least scatter, which is more than that of the values.
    Floor,
}

impl Spread {
    /// Of finite values; `None` of none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let median = median(values)?;
        let deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        Some(Self {
            median,
            mad: self::median(&deviations)?,
            mean_ad: deviations.iter().sum::<f64>() / deviations.len() as f64,
        })
    }

    /// One standard deviation, as far as so few values tell it: never less than `floor`. `None`
    /// where there is neither scatter nor floor, since then nothing can be measured by it.
    pub(crate) fn scale(&self, floor: f64) -> Option<(f64, Basis)> {
        let (scale, basis) = if self.mad > 0.0 {
            (self.mad / MAD_OF_SIGMA, Basis::Mad)
        } else {
            (self.mean_ad * SIGMA_OF_MEAN_AD, Basis::MeanAd)
        };
        if scale < floor {
            return Some((floor, Basis::Floor));
        }
        (scale > 0.0).then_some((scale, basis))
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(match sorted.len() % 2 {
        0 => (sorted[middle - 1] + upper) / 2.0,
        _ => upper,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_textbook_example() {
        // Wikipedia, "Median absolute deviation": median 2, MAD 1.
        let spread = Spread::of(&[1., 1., 2., 2., 4., 6., 9.]).unwrap();
        assert_eq!((spread.median, spread.mad), (2.0, 1.0));
        assert_eq!(spread.mean_ad, 15.0 / 7.0);
        let (scale, basis) = spread.scale(0.0).unwrap();
        assert_eq!(
            ((9.0 - spread.median) / scale, basis),
            (0.6745 * 7.0, Basis::Mad)
        );
    }

    #[test]
    fn without_a_mad_the_mean_deviation_counts_and_then_the_floor() {
        let mostly = Spread::of(&[5., 5., 5., 5., 9.]).unwrap();
        assert_eq!((mostly.median, mostly.mad, mostly.mean_ad), (5.0, 0.0, 0.8));
        assert_eq!(mostly.scale(0.0), Some((0.8 * 1.2533, Basis::MeanAd)));
        assert_eq!(mostly.scale(2.0), Some((2.0, Basis::Floor)));
        let equal = Spread::of(&[5., 5., 5., 5.]).unwrap();
        assert_eq!(equal.scale(0.0), None);
        assert_eq!(equal.scale(0.1), Some((0.1, Basis::Floor)));
        assert_eq!(Spread::of(&[]), None);
    }

    proptest! {
        #[test]
        fn moving_and_stretching_the_values_does_so_to_their_spread(
            values in prop::collection::vec(-1e6_f64..1e6, 1..20), by in -1e3_f64..1e3, times in 0.1_f64..10.0,
        ) {
            let spread = Spread::of(&values).unwrap();
            let moved: Vec<f64> = values.iter().map(|v| v * times + by).collect();
            let moved = Spread::of(&moved).unwrap();
            prop_assert!((moved.median - (spread.median * times + by)).abs() <= 1e-6);
            prop_assert!((moved.mad - spread.mad * times).abs() <= 1e-6);
            prop_assert!((moved.mean_ad - spread.mean_ad * times).abs() <= 1e-6);
        }

        #[test]
        fn less_than_half_of_strange_values_do_not_carry_the_median_away(
            values in prop::collection::vec(0.0_f64..10.0, 5), strange in 1e6_f64..1e9,
        ) {
            let mut values = values;
            values[0] = strange;
            values[1] = strange;
            let spread = Spread::of(&values).unwrap();
            prop_assert!(spread.median <= 10.0 && spread.mad <= 10.0);
        }
    }
}
