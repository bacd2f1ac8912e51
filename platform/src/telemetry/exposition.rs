//! Reading what the recorder writes: the Prometheus text format.

/// A histogram's cumulative counts by their upper bounds, ascending; the last is infinite.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Histogram(Vec<(f64, u64)>);

impl Histogram {
    /// What came since an earlier reading of the same histogram.
    pub(super) fn since(&self, earlier: Option<&Self>) -> Self {
        let before = |bound: f64| {
            let of_bound = earlier.and_then(|h| h.0.iter().find(|(b, _)| *b == bound));
            of_bound.map_or(0, |(_, count)| *count)
        };
        let counts = self.0.iter();
        Self(
            counts
                .map(|(bound, count)| (*bound, count.saturating_sub(before(*bound))))
                .collect(),
        )
    }

    /// How many values.
    pub(super) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// The value below which a share of values lies, as if values were spread evenly between
    /// two bounds. Beyond the last finite bound it is that bound; of no values, none.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let rank = q * self.count() as f64;
        let (mut low, mut below) = (0.0, 0_u64);
        for (bound, count) in &self.0 {
            if *count as f64 >= rank {
                if bound.is_infinite() {
                    return Some(low);
                }
                let share = (rank - below as f64) / (count - below).max(1) as f64;
                return Some(low + (bound - low) * share);
            }
            (low, below) = (*bound, *count);
        }
        Some(low)
    }
}

/// The labels and the value of each line of a metric.
fn lines<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        Some((labels, value.trim().parse().ok()?))
    })
}

/// The sum of a metric's series with certain labels; `None` when the metric was never set.
pub(super) fn sum(text: &str, name: &str, wanted: impl Fn(&str) -> bool) -> Option<f64> {
    let mut sum = None;
    for (labels, value) in lines(text, name) {
        let sum = sum.get_or_insert(0.0);
        if wanted(labels) {
            *sum += value;
        }
    }
    sum
}

/// The sum of a histogram's series with certain labels; `None` when there are none.
pub(super) fn histogram(
    text: &str,
    name: &str,
    wanted: impl Fn(&str) -> bool,
) -> Option<Histogram> {
    let name = format!("{name}_bucket");
    let mut sums: Vec<(f64, u64)> = Vec::new();
    for (labels, count) in lines(text, &name).filter(|(labels, _)| wanted(labels)) {
        let Some(bound) = bound(labels) else { continue };
        match sums.iter_mut().find(|(b, _)| *b == bound) {
            Some((_, sum)) => *sum += count as u64,
            None => sums.push((bound, count as u64)),
        }
    }
    sums.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    (!sums.is_empty()).then_some(Histogram(sums))
}

fn bound(labels: &str) -> Option<f64> {
    let rest = &labels[labels.find("le=\"")? + 4..];
    match &rest[..rest.find('"')?] {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        a_total 1\n\
        a_total_more 100\n\
        b{x=\"1} 5\",y=\"2\"} 3\n\
        b{x=\"2\"} 4\n\
        h_bucket{x=\"1\",le=\"1\"} 2\n\
        h_bucket{x=\"1\",le=\"2\"} 4\n\
        h_bucket{x=\"1\",le=\"+Inf\"} 5\n\
        h_bucket{x=\"2\",le=\"1\"} 1\n\
        h_bucket{x=\"2\",le=\"2\"} 1\n\
        h_bucket{x=\"2\",le=\"+Inf\"} 1\n";

    #[test]
    fn series_with_certain_labels_are_added_up() {
        assert_eq!(sum(TEXT, "a_total", |_| true), Some(1.0));
        assert_eq!(sum(TEXT, "b", |_| true), Some(7.0));
        assert_eq!(sum(TEXT, "b", |l| l.contains("y=")), Some(3.0));
        assert_eq!(sum(TEXT, "b", |_| false), Some(0.0));
        assert_eq!(sum(TEXT, "c", |_| true), None);
        let both = histogram(TEXT, "h", |_| true).unwrap();
        assert_eq!(both.0, [(1.0, 3), (2.0, 5), (f64::INFINITY, 6)]);
        assert_eq!(histogram(TEXT, "h", |_| false), None);
    }

    #[test]
    fn quantiles_lie_between_bounds() {
        let of = |counts: [u64; 3]| {
            let bounds = [1.0, 2.0, f64::INFINITY];
            Histogram(bounds.into_iter().zip(counts).collect())
        };
        assert_eq!(of([0, 0, 0]).quantile(0.5), None);
        assert_eq!(of([10, 10, 10]).quantile(0.5), Some(0.5));
        assert_eq!(of([0, 10, 10]).quantile(0.5), Some(1.5));
        assert_eq!(of([5, 10, 20]).quantile(0.99), Some(2.0));
        let since = of([10, 30, 30]).since(Some(&of([10, 10, 10])));
        assert_eq!(since, of([0, 20, 20]));
        assert_eq!(since.quantile(0.95), Some(1.95));
    }
}
