//! Instants, in microseconds.

use std::{fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// An instant in microseconds since the Unix epoch, UTC, within the years 1 to 9999, which
/// RFC 3339 and PostgreSQL can both write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Timestamp(i64);

/// The instant lies outside the years 1 to 9999, or the text is not RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not within the years 1 to 9999.
    #[error("outside the years 1 to 9999")]
    OutOfRange,
    /// Not an RFC 3339 date and time with an offset.
    #[error("not an RFC 3339 date and time with an offset, like 2026-01-31T12:00:00Z")]
    Format,
}

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds since the epoch.
    ///
    /// # Errors
    /// If outside [`Timestamp::MIN`]`..=`[`Timestamp::MAX`].
    pub const fn from_micros(micros: i64) -> Result<Self, TimestampError> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            Err(TimestampError::OutOfRange)
        } else {
            Ok(Self(micros))
        }
    }

    /// From milliseconds since the epoch, the unit of Kafka's record times.
    ///
    /// # Errors
    /// If outside the years 1 to 9999.
    pub const fn from_millis(millis: i64) -> Result<Self, TimestampError> {
        match millis.checked_mul(1000) {
            Some(micros) => Self::from_micros(micros),
            None => Err(TimestampError::OutOfRange),
        }
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This plus `seconds`, held within the range.
    #[must_use]
    pub fn saturating_add_seconds(self, seconds: i64) -> Self {
        let micros = self.0.saturating_add(seconds.saturating_mul(1_000_000));
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }
}

impl TryFrom<i64> for Timestamp {
    type Error = TimestampError;
    fn try_from(micros: i64) -> Result<Self, TimestampError> {
        Self::from_micros(micros)
    }
}

impl From<Timestamp> for i64 {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(timestamp: Timestamp) -> Self {
        Self::from_timestamp_micros(timestamp.0).expect("chrono reaches beyond the year 9999")
    }
}

/// Digits beyond microseconds are cut off; a leap second becomes the second after it.
impl TryFrom<DateTime<Utc>> for Timestamp {
    type Error = TimestampError;
    fn try_from(instant: DateTime<Utc>) -> Result<Self, TimestampError> {
        Self::from_micros(instant.timestamp_micros())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let instant = DateTime::parse_from_rfc3339(text).map_err(|_| TimestampError::Format)?;
        Self::try_from(instant.to_utc())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = DateTime::<Utc>::from(*self);
        f.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_exact() {
        assert_eq!("0001-01-01T00:00:00Z".parse(), Ok(Timestamp::MIN));
        assert_eq!("9999-12-31T23:59:59.999999Z".parse(), Ok(Timestamp::MAX));
        assert_eq!(
            Timestamp::from_micros(Timestamp::MIN.0 - 1),
            Err(TimestampError::OutOfRange)
        );
        assert_eq!(
            Timestamp::from_micros(i64::MAX),
            Err(TimestampError::OutOfRange)
        );
        assert_eq!(
            Timestamp::from_millis(i64::MIN),
            Err(TimestampError::OutOfRange)
        );
        assert_eq!(
            "9999-12-31T23:59:59-01:00".parse::<Timestamp>(),
            Err(TimestampError::OutOfRange)
        );
    }

    #[test]
    fn text_goes_both_ways() {
        for (text, shown) in [
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
            ("2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00Z"),
            (
                "2026-01-01T00:00:00.1234569Z",
                "2026-01-01T00:00:00.123456Z",
            ),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ] {
            let timestamp: Timestamp = text.parse().unwrap();
            assert_eq!(timestamp.to_string(), shown);
            assert_eq!(shown.parse(), Ok(timestamp));
        }
        for bad in [
            "",
            "2023-02-29T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "0",
        ] {
            assert_eq!(
                bad.parse::<Timestamp>(),
                Err(TimestampError::Format),
                "{bad}"
            );
        }
    }
}
