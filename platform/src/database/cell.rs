//! A value of a row as the wire has it, read by its place: no name to look up and no type to
//! compare, which for rows by the thousand would take longer than reading them.

use schemas::{Timestamp, Usd};
use sqlx::{Row, ValueRef, postgres::PgRow};

use super::numeric;

/// From 1970, where ours begin, to 2000, where the database's instants do, in microseconds.
pub const EPOCH: i64 = 946_684_800_000_000;

/// Decimals of sums of values, as of cost.
const DECIMALS: i16 = Usd::SCALE as i16;

/// A value, and what it is called in errors.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'r> {
    bytes: Option<&'r [u8]>,
    name: &'static str,
}

impl<'r> Cell<'r> {
    /// The value at a place of a row that a prepared statement gave.
    ///
    /// # Errors
    /// The name, as all errors here, if the row is shorter or of another protocol.
    pub fn of(row: &'r PgRow, place: usize, name: &'static str) -> Result<Self, &'static str> {
        let value = row.try_get_raw(place).map_err(|_| name)?;
        let bytes = if value.is_null() {
            None
        } else {
            Some(value.as_bytes().map_err(|_| name)?)
        };
        Ok(Self { bytes, name })
    }

    pub(super) fn is_null(self) -> bool {
        self.bytes.is_none()
    }

    pub(super) fn bytes(self) -> Result<&'r [u8], &'static str> {
        self.bytes.ok_or(self.name)
    }

    fn array<const N: usize>(self) -> Result<[u8; N], &'static str> {
        self.bytes()?.try_into().map_err(|_| self.name)
    }

    /// Of `bigint`, not negative.
    pub(super) fn count(self) -> Result<u64, &'static str> {
        u64::try_from(i64::from_be_bytes(self.array()?)).map_err(|_| self.name)
    }

    /// Of `double precision`.
    pub(super) fn float(self) -> Result<f64, &'static str> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// Of a whole `numeric`, not negative.
    pub(super) fn wide(self) -> Result<u64, &'static str> {
        let number = numeric::units(self.bytes()?, 0);
        number.and_then(|n| u64::try_from(n).ok()).ok_or(self.name)
    }

    /// Of a `numeric` with twelve decimals.
    pub(super) fn units(self) -> Result<i128, &'static str> {
        numeric::units(self.bytes()?, DECIMALS).ok_or(self.name)
    }

    /// Of `timestamptz`.
    ///
    /// # Errors
    /// The name, if it is null or no instant of ours.
    pub fn instant(self) -> Result<Timestamp, &'static str> {
        let micros = i64::from_be_bytes(self.array()?).checked_add(EPOCH);
        let instant = micros.and_then(|micros| Timestamp::from_micros(micros).ok());
        instant.ok_or(self.name)
    }

    /// Of `text`; `None` if it is null.
    ///
    /// # Errors
    /// The name, if it is no UTF-8.
    pub fn text(self) -> Result<Option<&'r str>, &'static str> {
        let text = self.bytes.map(str::from_utf8).transpose();
        text.map_err(|_| self.name)
    }
}
