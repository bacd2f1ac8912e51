//! Zipf's law over finitely many ranks.

/// Ranks from 0, of which rank `r` has a share in proportion to `(r + 1)^-exponent`.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    /// The share of all ranks up to this one.
    up_to: Vec<f64>,
}

impl Zipf {
    /// Over `ranks` ranks, at least one.
    pub(crate) fn new(ranks: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut up_to = Vec::with_capacity(ranks as usize);
        for rank in 1..=ranks {
            sum += f64::from(rank).powf(-exponent);
            up_to.push(sum);
        }
        up_to.iter_mut().for_each(|share| *share /= sum);
        Self { up_to }
    }

    /// The rank at `unit`, a number from 0 up to 1.
    pub(crate) fn rank(&self, unit: f64) -> u32 {
        let rank = self.up_to.partition_point(|share| *share <= unit);
        rank.min(self.up_to.len() - 1) as u32
    }
}
