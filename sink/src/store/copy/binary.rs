//! Values in PostgreSQL's binary form: what each type's receiving function reads.

use platform::database::cell::EPOCH;
use schemas::{Timestamp, Usd};
use uuid::Uuid;

/// Of `text`, in the system catalog of every server.
const TEXT: i32 = 25;
/// A digit of `numeric` is below it.
const BASE: u128 = 10_000;

/// A value of a column.
pub(in crate::store) trait Binary {
    /// Writes it without its length.
    fn write(&self, to: &mut Vec<u8>);
}

/// `jsonb` of a JSON text.
pub(in crate::store) struct Json<'a>(pub(in crate::store) &'a str);

/// `numeric` of an amount of money, whose decimals are three digits of it.
pub(in crate::store) struct Numeric(pub(in crate::store) Usd);

impl Binary for Uuid {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.as_bytes());
    }
}

impl Binary for Timestamp {
    fn write(&self, to: &mut Vec<u8>) {
        (self.micros() - EPOCH).write(to);
    }
}

impl Binary for i32 {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend(self.to_be_bytes());
    }
}

impl Binary for i64 {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend(self.to_be_bytes());
    }
}

impl Binary for f64 {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend(self.to_be_bytes());
    }
}

impl Binary for &str {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.as_bytes());
    }
}

impl Binary for Json<'_> {
    fn write(&self, to: &mut Vec<u8>) {
        // The version of the form.
        to.push(1);
        self.0.write(to);
    }
}

/// `text[]`.
impl Binary for &[String] {
    fn write(&self, to: &mut Vec<u8>) {
        let int = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
        // Dimensions, no nulls, the elements' type.
        let dimensions = i32::from(!self.is_empty());
        [dimensions, 0, TEXT].iter().for_each(|n| n.write(to));
        if !self.is_empty() {
            // The dimension's length and first index.
            [int(self.len()), 1].iter().for_each(|n| n.write(to));
        }
        for text in *self {
            int(text.len()).write(to);
            text.as_str().write(to);
        }
    }
}

impl Binary for Numeric {
    fn write(&self, to: &mut Vec<u8>) {
        const NEGATIVE: i16 = 0x4000;
        // Of the last digit.
        const LOWEST: i16 = -3;
        let units = self.0.units();
        // An i128 has at most ten digits of four decimals each.
        let mut digits = [0_i16; 10];
        let (mut rest, mut count) = (units.unsigned_abs(), 0);
        while rest > 0 {
            digits[count] = (rest % BASE) as i16;
            rest /= BASE;
            count += 1;
        }
        let int = |n: usize| i16::try_from(n).unwrap_or(i16::MAX);
        // The weight of the first digit is the power of the base that it counts.
        let weight = if count == 0 {
            0
        } else {
            int(count) - 1 + LOWEST
        };
        let sign = if units < 0 { NEGATIVE } else { 0 };
        let scale = int(Usd::SCALE as usize);
        for n in [int(count), weight, sign, scale] {
            to.extend(n.to_be_bytes());
        }
        for digit in digits[..count].iter().rev() {
            to.extend(digit.to_be_bytes());
        }
    }
}
