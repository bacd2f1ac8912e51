//! Money, exactly.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// US dollars with twelve decimals. Twelve, because prices per token reach 10⁻⁸ and
/// fractions of them are billed; an `i128` of them holds 10²⁶ dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(i128);

/// The text is not a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct NotADecimal;

impl Usd {
    /// Decimals kept.
    pub const SCALE: u32 = 12;
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most one event may cost: 10⁹ dollars.
    pub const EVENT_MAX: Self = Self(1_000_000_000 * 10i128.pow(Self::SCALE));

    /// From units of 10⁻¹² dollars.
    pub const fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// In units of 10⁻¹² dollars.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// The sum; at the ends of `i128` it stays there.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Rounded half to even where there are more than twelve decimals; beyond what an
    /// `i128` holds, its end.
    pub fn from_decimal(decimal: Decimal) -> Self {
        let decimal = decimal.round_dp(Self::SCALE);
        let missing = Self::SCALE - decimal.scale();
        Self(decimal.mantissa().saturating_mul(10i128.pow(missing)))
    }

    /// From the text of a JSON number or a decimal string: `0.25`, `1e-3`.
    ///
    /// # Errors
    /// If it is not a decimal number of at most 64 characters.
    pub fn parse(text: &str) -> Result<Self, NotADecimal> {
        // 10²⁸ fits a Decimal; what does not fit is far above any limit of ours and is
        // told apart from what is no number at all.
        const HUGE: Usd = Usd(i128::MAX);
        if text.len() > 64 {
            return Err(NotADecimal);
        }
        let exact = |t: &str| Decimal::from_str(t).or_else(|_| Decimal::from_scientific(t));
        match exact(text) {
            Ok(decimal) if !text.contains(['_', ' ']) => Ok(Self::from_decimal(decimal)),
            Ok(_) => Err(NotADecimal),
            Err(_) => match text.parse::<f64>() {
                Ok(x) if x.abs() < 0.5e-12 => Ok(Self::ZERO),
                Ok(x) if x.is_finite() || text.contains(['e', 'E']) => {
                    Ok(if x < 0.0 { Self(i128::MIN) } else { HUGE })
                }
                _ => Err(NotADecimal),
            },
        }
    }
}

/// As a plain decimal, without trailing zeros.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10u128.pow(Self::SCALE);
        let (whole, fraction) = (self.0.unsigned_abs() / one, self.0.unsigned_abs() % one);
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:012}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// The plain decimals that [`Display`](fmt::Display) writes, of any size that fits.
impl FromStr for Usd {
    type Err = NotADecimal;
    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 12 || !is_digits(whole) || !is_digits(fraction) {
            return Err(NotADecimal);
        }
        let units: u128 = format!("{whole}{fraction:0<12}")
            .parse()
            .map_err(|_| NotADecimal)?;
        let units = i128::try_from(units).map_err(|_| NotADecimal)?;
        Ok(Self(if negative { -units } else { units }))
    }
}

/// For Avro's logical type `decimal`.
impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decimal = Decimal::try_from_i128_with_scale(self.0, Self::SCALE)
            .map_err(serde::ser::Error::custom)?;
        Serialize::serialize(&decimal, serializer)
    }
}

/// From Avro's logical type `decimal`, whatever scale its writer chose.
impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Decimal as Deserialize>::deserialize(deserializer).map(Self::from_decimal)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_what_json_may_hold() {
        for (text, units) in [
            ("0", 0),
            ("0.25", 250_000_000_000),
            ("1e-3", 1_000_000_000),
            ("1.5E2", 150_000_000_000_000),
            ("-0.5", -500_000_000_000),
            ("0.0000000000005", 0),
            ("0.0000000000015", 2),
            ("1e-400", 0),
            ("1e400", i128::MAX),
            ("-1e400", i128::MIN),
        ] {
            assert_eq!(Usd::parse(text), Ok(Usd(units)), "{text}");
        }
        for bad in ["", "abc", "NaN", "inf", "1_000", "0x1", "1,5", "--1"] {
            assert_eq!(Usd::parse(bad), Err(NotADecimal), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn its_text_gives_it_back(units in any::<i128>().prop_map(|u| u.max(-i128::MAX))) {
            prop_assert_eq!(Usd(units).to_string().parse(), Ok(Usd(units)));
        }

        #[test]
        fn an_events_cost_survives_parsing(units in 0..=Usd::EVENT_MAX.0) {
            prop_assert_eq!(Usd::parse(&Usd(units).to_string()), Ok(Usd(units)));
        }
    }
}
