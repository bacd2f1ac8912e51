//! An exponential histogram of how long things took, and quantiles out of it.
//!
//! Buckets grow by 2^(1/8), as in OpenTelemetry's exponential histogram of scale 3: it has
//! no state but counts, so two merge by adding, and a quantile is known to within half a
//! bucket, (2^(1/8) − 1) / (2^(1/8) + 1) = 4.33 %.

use std::{iter, sync::LazyLock};

use self::slots::Slots;

mod slots;

/// Largest exponent: 2^27 ms is more than the day a session may take.
const MAX_EXPONENT: u32 = 27;

/// Upper bounds of the buckets, ⌊2^(i/8)⌋: bucket `i` holds the whole numbers above
/// `BOUNDS[i - 1]` up to `BOUNDS[i]`. Some of the first hold none.
static BOUNDS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    (0..=MAX_EXPONENT * 8)
        .map(|i| match i % 8 {
            0 => 1 << (i / 8),
            // Irrational, and never near enough to a whole number to round to it.
            _ => 2f64.powf(f64::from(i) / 8.0).floor() as u64,
        })
        .collect()
});

/// Counts of times in milliseconds by size. Sparse: a rollup of few events is a few bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Slot 0 holds the zeros, slot `i + 1` bucket `i`.
    slots: Slots,
}

/// The bytes are not a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a histogram")]
pub struct MalformedHistogram;

impl Histogram {
    /// Counts one value in milliseconds. Beyond the last bucket it counts in the last.
    pub fn add(&mut self, value: u64) {
        self.slots.add(slot_of(value), 1);
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.slots.merge(&other.slots);
    }

    /// How many values it holds.
    pub fn count(&self) -> u64 {
        let counts = self.slots.iter().map(|(_, count)| count);
        counts.fold(0, u64::saturating_add)
    }

    /// The value of nearest rank `q` (0 to 1), within 4.5 % of it up to the last bucket, in
    /// milliseconds; `None` of no values. `min` and `max` are the exact extremes, which no estimate may pass.
    pub fn quantile(&self, q: f64, min: u64, max: u64) -> Option<f64> {
        // As PostgreSQL's percentile_disc does it.
        let rank = ((q * self.count() as f64).ceil() as u64).max(1);
        let mut below = 0u64;
        let (slot, _) = self.slots.iter().find(|(_, count)| {
            below = below.saturating_add(*count);
            below >= rank
        })?;
        Some(estimate(slot).clamp(min as f64, max as f64))
    }

    /// As bytes: per slot the gap to the one before and the count, both LEB128.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.slots.places() * 2);
        let mut previous = 0;
        for (slot, count) in self.slots.iter() {
            write_leb128(&mut bytes, u64::from(slot - previous));
            write_leb128(&mut bytes, count);
            previous = slot;
        }
        bytes
    }

    /// What [`Histogram::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedHistogram> {
        let mut histogram = Self::default();
        histogram.refill(bytes)?;
        Ok(histogram)
    }

    /// The same in place of what was there, whose memory it takes over.
    ///
    /// # Errors
    /// As [`Histogram::from_bytes`]; what is there then is of no use.
    pub fn refill(&mut self, bytes: &[u8]) -> Result<(), MalformedHistogram> {
        let mut slots = std::mem::take(&mut self.slots).into_memory();
        slots.reserve(bytes.len() / 2);
        let (mut rest, mut previous) = (bytes, 0);
        while !rest.is_empty() {
            let gap = read_leb128(&mut rest).ok_or(MalformedHistogram)?;
            let count = read_leb128(&mut rest).ok_or(MalformedHistogram)?;
            let slot = gap.checked_add(previous).ok_or(MalformedHistogram)?;
            let is_next = gap > 0 || slots.is_empty();
            if count == 0 || slot > BOUNDS.len() as u64 || !is_next {
                return Err(MalformedHistogram);
            }
            slots.push((slot as u16, count));
            previous = slot;
        }
        self.slots = Slots::of(slots);
        Ok(())
    }
}

/// The slot that counts a value in milliseconds. Every eighth bound is a power of two, so only
/// the eight buckets between two of these are searched.
fn slot_of(value: u64) -> u16 {
    if value <= 1 {
        return value as u16;
    }
    // 2^exponent is below the value, and 2^(exponent + 1) is not.
    let exponent = (value - 1).ilog2();
    if exponent >= MAX_EXPONENT {
        return BOUNDS.len() as u16;
    }
    let first = exponent as usize * 8 + 1;
    let within = BOUNDS[first..first + 8].partition_point(|bound| *bound < value);
    (1 + first + within) as u16
}

/// The number nearest, by ratio, to all whole numbers of a slot.
fn estimate(slot: u16) -> f64 {
    let Some(bucket) = usize::from(slot).checked_sub(1) else {
        return 0.0;
    };
    let low = bucket.checked_sub(1).map_or(1, |b| BOUNDS[b] + 1) as f64;
    let high = BOUNDS[bucket] as f64;
    2.0 * low * high / (low + high)
}

fn write_leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_leb128(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all are one byte.
    if let [first @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    let mut number = 0u64;
    for shift in iter::successors(Some(0u32), |s| Some(s + 7)).take_while(|s| *s < 64) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|v| histogram.add(*v));
        histogram
    }

    #[test]
    fn no_bound_is_so_near_a_whole_number_that_rounding_could_move_it() {
        for i in (0..=MAX_EXPONENT * 8).filter(|i| i % 8 != 0) {
            let x = 2f64.powf(f64::from(i) / 8.0);
            assert!((x - x.round()).abs() > 1e-6, "{i}");
        }
        assert_eq!(BOUNDS[8..=16], [2, 2, 2, 2, 2, 3, 3, 3, 4]);
    }

    #[test]
    fn a_slot_is_the_first_whose_bound_is_not_below() {
        let near = |bound: &u64| [bound - 1, *bound, bound + 1];
        let far = [u64::MAX, u64::MAX - 1, 1 << 40];
        for value in BOUNDS.iter().flat_map(near).chain(far).chain(0..5_000) {
            let plain = match value {
                0 => 0,
                _ => 1 + BOUNDS.partition_point(|b| *b < value).min(BOUNDS.len() - 1),
            };
            assert_eq!(usize::from(slot_of(value)), plain, "{value}");
        }
    }

    #[test]
    fn small_numbers_are_exact() {
        for value in 0..=12 {
            assert_eq!(of(&[value]).quantile(0.5, 0, 100), Some(value as f64));
        }
        assert_eq!(Histogram::default().quantile(0.5, 0, 0), None);
    }

    proptest! {
        #[test]
        fn merging_is_counting_both(
            many in prop::collection::vec(0u64..100_000, 0..200),
            few in prop::collection::vec(0u64..100_000, 0..200),
            same in any::<bool>(),
        ) {
            let few = if same { many[..many.len() / 2].to_vec() } else { few };
            let mut merged = of(&many);
            merged.merge(&of(&few));
            prop_assert_eq!(merged, of(&[many, few].concat()));
        }
    }

    #[test]
    fn malformed_bytes_are_refused() {
        for bytes in [
            &[1][..],
            &[1, 0],
            &[1, 1, 0, 1],
            &[0xff; 12],
            &[0xff, 0x7f, 1],
        ] {
            assert_eq!(
                Histogram::from_bytes(bytes),
                Err(MalformedHistogram),
                "{bytes:?}"
            );
        }
        // A value beyond u64.
        assert_eq!(
            read_leb128(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]),
            None
        );
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_its_bound(
            values in prop::collection::vec((0u32..=27).prop_flat_map(|e| 0..=(1u64 << e).min(86_400_000)), 1..300),
            q in 0.0f64..=1.0,
        ) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = sorted[rank - 1] as f64;
            let estimated = of(&values).quantile(q, sorted[0], sorted[sorted.len() - 1]).unwrap();
            prop_assert!((estimated - exact).abs() <= 0.045 * exact, "{} for {}", estimated, exact);
        }

        #[test]
        fn bytes_go_both_ways(values in prop::collection::vec(0u64..=86_400_000, 0..50), n in 1u64..) {
            let mut histogram = of(&values);
            histogram.slots.add(3, n);
            let mut other = of(&[1, 5, 500]);
            prop_assert_eq!(other.refill(&histogram.to_bytes()), Ok(()));
            prop_assert_eq!(&other, &histogram);
            prop_assert_eq!(Histogram::from_bytes(&histogram.to_bytes()), Ok(histogram));
        }

        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(histogram) = Histogram::from_bytes(&bytes) {
                prop_assert!(histogram.slots.iter().is_sorted());
                histogram.quantile(0.99, 0, u64::MAX);
            }
        }
    }
}
