//! Apache Parquet, by the format's own writer: rows are gathered until a row group is full,
//! and then written column by column.

use std::{fmt::Write as _, mem, sync::Arc};

use ::parquet::{
    basic::{Compression, ZstdLevel},
    column::writer::ColumnWriterImpl,
    data_type::{
        ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
        Int32Type, Int64Type,
    },
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::parser::parse_message_type,
};

use super::format::Encoder;
use crate::events::{
    columns::{Column, Type},
    value::{Row, Value},
};

/// The most rows of a row group.
const MAX_ROWS: usize = 50_000;
/// The most bytes of a row group, in memory.
const MAX_BYTES: usize = 16 << 20;
/// Digits of a decimal after the point.
const SCALE: usize = 12;

/// Rows as a Parquet file.
pub(super) struct Parquet {
    columns: Arc<[Column]>,
    writer: SerializedFileWriter<Vec<u8>>,
    rows: Vec<Row>,
    bytes: usize,
}

impl Parquet {
    pub(super) fn new(columns: Arc<[Column]>) -> anyhow::Result<Self> {
        let schema = parse_message_type(&schema(&columns))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // The footer is kept until the end: no more in it than readers choose groups by.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by("flowmeter".to_owned())
            .build();
        Ok(Self {
            writer: SerializedFileWriter::new(Vec::new(), schema.into(), properties.into())?,
            columns,
            rows: Vec::new(),
            bytes: 0,
        })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = mem::take(&mut self.rows);
        self.bytes = 0;
        let mut group = self.writer.next_row_group()?;
        for (index, column) in self.columns.iter().enumerate() {
            let Some(mut writer) = group.next_column()? else {
                return Err(ParquetError::General("a column too many".to_owned()));
            };
            let values = rows.iter().map(|row| &row.values[index]);
            write_column(&mut writer, *column, values)?;
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// What was written so far, away from the writer.
    fn drain(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.writer.flush()?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
}

impl Encoder for Parquet {
    fn rows(&mut self, rows: Vec<Row>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        for row in rows {
            self.bytes += row.size();
            self.rows.push(row);
            if self.rows.len() >= MAX_ROWS || self.bytes >= MAX_BYTES {
                self.write_group()?;
                self.drain(out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        self.writer.finish()?;
        self.drain(out)
    }
}

/// The schema, in Parquet's own notation.
fn schema(columns: &[Column]) -> String {
    let mut schema = "message event {\n".to_owned();
    for Column {
        name,
        holds,
        required,
    } in columns
    {
        let need = if *required { "required" } else { "optional" };
        let (before, after) = match holds {
            Type::Id => ("fixed_len_byte_array(16)", " (UUID)"),
            Type::Instant => ("int64", " (TIMESTAMP(MICROS,true))"),
            Type::Text => ("binary", " (STRING)"),
            Type::Whole32 => ("int32", ""),
            Type::Whole64 => ("int64", ""),
            Type::Number => ("double", ""),
            Type::Decimal => ("fixed_len_byte_array(16)", " (DECIMAL(38,12))"),
            Type::Object => ("binary", " (JSON)"),
            Type::Texts => (
                "group",
                " (LIST) { repeated group list { required binary element (STRING); } }",
            ),
        };
        let end = if *holds == Type::Texts { "" } else { ";" };
        let _infallible = writeln!(schema, "{need} {before} {name}{after}{end}");
    }
    schema.push('}');
    schema
}

fn write_column<'a>(
    writer: &mut SerializedColumnWriter<'_>,
    column: Column,
    values: impl Iterator<Item = &'a Value>,
) -> Result<(), ParquetError> {
    let required = column.required;
    match column.holds {
        Type::Id | Type::Decimal => {
            write::<FixedLenByteArrayType>(writer.typed(), required, values, |value| match value {
                Value::Id(id) => Some(ByteArray::from(id.as_bytes().to_vec()).into()),
                Value::Decimal(text) => decimal(text),
                _ => None,
            })
        }
        Type::Instant => {
            write::<Int64Type>(writer.typed(), required, values, |value| match value {
                Value::Instant(instant) => Some(instant.micros()),
                _ => None,
            })
        }
        Type::Whole32 => {
            write::<Int32Type>(writer.typed(), required, values, |value| match value {
                Value::Whole(number) => i32::try_from(*number).ok(),
                _ => None,
            })
        }
        Type::Whole64 => {
            write::<Int64Type>(writer.typed(), required, values, |value| match value {
                Value::Whole(number) => Some(*number),
                _ => None,
            })
        }
        Type::Number => {
            write::<DoubleType>(writer.typed(), required, values, |value| match value {
                Value::Number(number) => Some(*number),
                _ => None,
            })
        }
        Type::Text | Type::Object => {
            write::<ByteArrayType>(writer.typed(), required, values, |value| match value {
                Value::Text(text) => Some(text.as_str().into()),
                Value::Object(object) => Some(object.get().into()),
                _ => None,
            })
        }
        Type::Texts => write_texts(writer.typed(), values),
    }
}

/// Writes a column without repetition. A definition level says of each row whether it has a
/// value.
fn write<'a, T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    required: bool,
    values: impl Iterator<Item = &'a Value>,
    of: impl Fn(&'a Value) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let mut present = Vec::new();
    let mut levels = Vec::new();
    for value in values {
        let value = of(value);
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    let levels = (!required).then_some(levels.as_slice());
    writer.write_batch(&present, levels, None)?;
    Ok(())
}

/// Writes lists (Dremel's levels, <https://research.google/pubs/pub36632/>): 0 is null, 1 an
/// empty list, 2 an element; repetition 0 begins a row.
fn write_texts<'a>(
    writer: &mut ColumnWriterImpl<'_, ByteArrayType>,
    values: impl Iterator<Item = &'a Value>,
) -> Result<(), ParquetError> {
    let (mut elements, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Texts(texts) if !texts.is_empty() => {
                for (index, text) in texts.iter().enumerate() {
                    elements.push(ByteArray::from(text.as_str()));
                    defined.push(2);
                    repeated.push(i16::from(index > 0));
                }
            }
            Value::Texts(_) => {
                defined.push(1);
                repeated.push(0);
            }
            _ => {
                defined.push(0);
                repeated.push(0);
            }
        }
    }
    writer.write_batch(&elements, Some(&defined), Some(&repeated))?;
    Ok(())
}

/// A decimal in units of its last digit, big-endian.
fn decimal(text: &str) -> Option<FixedLenByteArray> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > SCALE {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction:0<SCALE$}").parse().ok()?;
    Some(ByteArray::from(unscaled.to_be_bytes().to_vec()).into())
}

#[cfg(test)]
mod tests {
    use schemas::event::EventKind;

    use super::*;
    use crate::events::columns::columns;

    #[test]
    fn every_kind_has_a_schema() {
        for kind in EventKind::ALL {
            let columns = columns(kind);
            let schema = parse_message_type(&schema(&columns)).unwrap();
            assert_eq!(schema.get_fields().len(), columns.len());
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        let unscaled = |text| {
            let bytes = decimal(text).unwrap();
            i128::from_be_bytes(bytes.data().try_into().unwrap())
        };
        assert_eq!(unscaled("0"), 0);
        assert_eq!(unscaled("0.000000000001"), 1);
        assert_eq!(unscaled("12.5"), 12_500_000_000_000);
        assert_eq!(unscaled("-0.5"), -500_000_000_000);
        let largest = "99999999999999999999999999.999999999999";
        assert_eq!(unscaled(largest), 10_i128.pow(38) - 1);
        assert!(decimal("0.0000000000001").is_none());
        assert!(decimal("NaN").is_none());
    }
}
