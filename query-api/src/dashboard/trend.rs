//! The line through a series, by ordinary least squares.

/// Points that a direction needs at least.
pub(crate) const FEWEST_POINTS: usize = 5;
/// A slope means something when it is more than so many of its standard errors.
pub(crate) const SIGNIFICANT_T: f64 = 2.0;

/// Where a series goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// Upwards.
    Up,
    /// Downwards.
    Down,
    /// Neither, as far as its scatter lets it be seen.
    Flat,
    /// Too few points.
    Unknown,
}

/// The line `y = intercept + slope * x` with the least squares of vertical distances to points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    /// The share of the variance of `y` that the line explains; `None` where there is none.
    pub(crate) r_squared: Option<f64>,
    pub(crate) points: usize,
    /// The slope in units of its standard error; `None` of two points, infinite of points that
    /// all lie on the line.
    pub(crate) t: Option<f64>,
}

impl Line {
    /// The line through points; `None` of points that lie below each other, or are fewer than
    /// two.
    pub(crate) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x_mean, y_mean) = (mean(|p| p.0), mean(|p| p.1));
        // About the means: sums of squares as they are would lose their digits to each other.
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points {
            let (dx, dy) = (x - x_mean, y - y_mean);
            xx += dx * dx;
            xy += dx * dy;
            yy += dy * dy;
        }
        if points.len() < 2 || xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let unexplained = (yy - slope * xy).max(0.0);
        // What is left by rounding is nothing.
        let unexplained = if unexplained <= yy * 1e-12 {
            0.0
        } else {
            unexplained
        };
        let freedom = n - 2.0;
        let error = (unexplained / freedom / xx).sqrt();
        let t = match slope {
            0.0 => 0.0,
            _ => slope / error,
        };
        Some(Self {
            slope,
            intercept: y_mean - slope * x_mean,
            r_squared: (yy > 0.0).then(|| 1.0 - unexplained / yy),
            points: points.len(),
            t: (freedom > 0.0).then_some(t),
        })
    }

    /// Where it goes: flat unless its slope is more than [`SIGNIFICANT_T`] standard errors.
    pub(crate) fn direction(&self) -> Direction {
        match self.t {
            Some(t) if self.points >= FEWEST_POINTS => match t {
                t if t > SIGNIFICANT_T => Direction::Up,
                t if t < -SIGNIFICANT_T => Direction::Down,
                _ => Direction::Flat,
            },
            _ => Direction::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(found: f64, expected: f64, within: f64) {
        assert!(
            (found - expected).abs() <= within,
            "{found}, not {expected}"
        );
    }

    /// Anscombe, "Graphs in Statistical Analysis", The American Statistician 27 (1973), the
    /// first data set: y = 3.00 + 0.500 x, R² = 0.667, standard error of the slope 0.118.
    #[test]
    fn anscombes_first_line_is_found() {
        let x = [10., 8., 13., 9., 11., 14., 6., 4., 12., 7., 5.];
        let y = [
            8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68,
        ];
        let points: Vec<(f64, f64)> = x.into_iter().zip(y).collect();
        let line = Line::through(&points).unwrap();
        near(line.slope, 0.500_091, 1e-6);
        near(line.intercept, 3.000_091, 1e-6);
        near(line.r_squared.unwrap(), 0.666_542, 1e-6);
        near(line.t.unwrap(), 4.241_455, 1e-5);
        assert_eq!((line.points, line.direction()), (11, Direction::Up));
    }

    #[test]
    fn scatter_few_points_and_one_instant_have_no_direction() {
        let zigzag: Vec<_> = [1., 9., 2., 8., 1., 9.].into_iter().enumerate().collect();
        let zigzag: Vec<_> = zigzag.into_iter().map(|(x, y)| (x as f64, y)).collect();
        let direction = |points: &[(f64, f64)]| Line::through(points).map(|l| l.direction());
        assert_eq!(direction(&zigzag), Some(Direction::Flat));
        let steep = [(0., 0.), (1., 10.), (2., 20.), (3., 30.)];
        assert_eq!(direction(&steep), Some(Direction::Unknown));
        assert_eq!(direction(&steep[..2]), Some(Direction::Unknown));
        assert_eq!(direction(&steep[..1]), None);
        assert_eq!(direction(&[]), None);
        assert_eq!(direction(&[(1., 1.), (1., 2.)]), None);
        let level = [(0., 5.), (1., 5.), (2., 5.), (3., 5.), (4., 5.)];
        let line = Line::through(&level).unwrap();
        assert_eq!((line.slope, line.intercept, line.r_squared), (0., 5., None));
        assert_eq!(line.direction(), Direction::Flat);
    }

    proptest! {
        #[test]
        fn an_exact_line_is_found_exactly(
            slope in -1e6_f64..1e6, intercept in -1e6_f64..1e6, n in 5_usize..200,
        ) {
            prop_assume!(slope.abs() > 1e-3);
            let points: Vec<_> = (0..n).map(|i| (i as f64 / 24.0, intercept + slope * i as f64 / 24.0)).collect();
            let line = Line::through(&points).unwrap();
            let scale = slope.abs() + intercept.abs();
            prop_assert!((line.slope - slope).abs() <= 1e-9 * scale, "{:?}", line);
            prop_assert!((line.intercept - intercept).abs() <= 1e-9 * scale, "{:?}", line);
            let up = if slope > 0.0 { Direction::Up } else { Direction::Down };
            // A slope below the digits of large numbers is rounding, not a line.
            if slope.abs() > 1e-6 * intercept.abs() {
                prop_assert!(line.r_squared.unwrap() > 1.0 - 1e-6);
                prop_assert_eq!(line.direction(), up);
            }
        }

        #[test]
        fn no_other_line_is_nearer(
            ys in prop::collection::vec(-1e3_f64..1e3, 2..50), ds in -1.0_f64..1.0, di in -1.0_f64..1.0,
        ) {
            let points: Vec<_> = ys.iter().enumerate().map(|(i, y)| (i as f64, *y)).collect();
            let line = Line::through(&points).unwrap();
            let squares = |slope: f64, intercept: f64| -> f64 {
                points.iter().map(|(x, y)| (y - intercept - slope * x).powi(2)).sum()
            };
            let least = squares(line.slope, line.intercept);
            prop_assert!(least <= squares(line.slope + ds, line.intercept + di) + 1e-6);
            let total: f64 = squares(0.0, ys.iter().sum::<f64>() / ys.len() as f64);
            if let Some(r_squared) = line.r_squared {
                prop_assert!((0.0..=1.0).contains(&r_squared));
                prop_assert!((1.0 - least / total - r_squared).abs() <= 1e-6);
            }
        }
    }
}
