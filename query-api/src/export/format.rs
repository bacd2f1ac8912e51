//! The forms in which events are exported.

use std::{fmt, str::FromStr, sync::Arc};

use super::{csv::Csv, json, parquet::Parquet};
use crate::events::{columns::Column, value::Row};

/// A form of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON array.
    Json,
    /// RFC 4180, with a header row.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// All.
    pub(crate) const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::Ndjson, Self::Parquet];

    /// The last part of the path, and of file names.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }

    /// The media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => PARQUET,
        }
    }

    /// An encoder of rows with these columns; what comes before all rows goes to `out`.
    ///
    /// # Errors
    /// When the columns cannot be written so, which is a fault of ours.
    pub(super) fn encoder(
        self,
        columns: Arc<[Column]>,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Box<dyn Encoder>> {
        Ok(match self {
            Self::Json => Box::new(json::Array::new(columns)),
            Self::Ndjson => Box::new(json::Lines::new(columns)),
            Self::Csv => Box::new(Csv::new(&columns, out)),
            Self::Parquet => Box::new(Parquet::new(columns)?),
        })
    }
}

/// Of Parquet, which is compressed by itself.
pub(super) const PARQUET: &str = "application/vnd.apache.parquet";

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let format = Self::ALL.into_iter().find(|f| f.as_str() == text);
        format.ok_or(())
    }
}

/// Makes bytes of rows. Holds no more of them than a bounded number.
pub(super) trait Encoder: Send {
    /// Appends what the rows become to `out`, maybe later.
    ///
    /// # Errors
    /// When a row cannot be written so, which is a fault of ours.
    fn rows(&mut self, rows: Vec<Row>, out: &mut Vec<u8>) -> anyhow::Result<()>;

    /// Appends the rest. Without it an export is recognisably unfinished.
    ///
    /// # Errors
    /// As [`Encoder::rows`].
    fn finish(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()>;
}
