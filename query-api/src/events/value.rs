//! One stored event, as values in the order of its columns.

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{
    columns::{Column, Type},
    position::{Place, Position},
};
use crate::failure::QueryFailure;

/// What a column of a row holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Id(Uuid),
    Instant(Timestamp),
    Text(String),
    Whole(i64),
    Number(f64),
    /// Written out, without needless zeros.
    Decimal(String),
    /// As the database writes it: each number with all its digits.
    Object(Box<RawValue>),
    Texts(Vec<String>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Id(id) => id.serialize(serializer),
            Self::Instant(instant) => serializer.collect_str(instant),
            Self::Text(text) | Self::Decimal(text) => serializer.serialize_str(text),
            Self::Whole(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Object(object) => object.serialize(serializer),
            Self::Texts(texts) => texts.serialize(serializer),
        }
    }
}

impl Value {
    /// About how many bytes it takes, in memory as in an answer.
    fn size(&self) -> usize {
        let text = match self {
            Self::Text(text) | Self::Decimal(text) => text.len(),
            Self::Object(object) => object.get().len(),
            Self::Texts(texts) => texts.iter().map(|text| text.len() + 24).sum(),
            _ => 0,
        };
        text + size_of::<Self>()
    }
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// In the order of the columns.
    pub(crate) values: Vec<Value>,
    /// Where it stands among all.
    pub(crate) position: Position,
}

impl Row {
    pub(super) fn read(row: &PgRow, columns: &[Column]) -> Result<Self, QueryFailure> {
        let columns = columns.iter().enumerate();
        let values: Result<_, _> = columns
            .map(|(place, column)| value(row, place, *column))
            .collect();
        let place = Place {
            event_id: row.try_get("event_id")?,
            partition: row.try_get("source_partition")?,
            offset: row.try_get("source_offset")?,
        };
        Ok(Self {
            values: values?,
            position: Position {
                at: instant(row.try_get("timestamp")?)?,
                place: Some(place),
            },
        })
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.values.iter().map(Value::size).sum()
    }

    /// As a JSON object.
    pub(crate) fn named<'a>(&'a self, columns: &'a [Column]) -> Named<'a> {
        Named { columns, row: self }
    }
}

/// A row with its columns' names: what is null is there, as null.
pub(crate) struct Named<'a> {
    columns: &'a [Column],
    row: &'a Row,
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, value) in self.columns.iter().zip(&self.row.values) {
            map.serialize_entry(column.name, value)?;
        }
        map.end()
    }
}

/// The value at a place, which is that of the column among all.
fn value(row: &PgRow, place: usize, column: Column) -> Result<Value, QueryFailure> {
    let value = match column.holds {
        Type::Id => row.try_get::<Option<_>, _>(place)?.map(Value::Id),
        Type::Instant => {
            let read = row.try_get::<Option<_>, _>(place)?.map(instant);
            read.transpose()?.map(Value::Instant)
        }
        Type::Text => row.try_get::<Option<_>, _>(place)?.map(Value::Text),
        Type::Whole32 => {
            let number: Option<i32> = row.try_get(place)?;
            number.map(|number| Value::Whole(number.into()))
        }
        Type::Whole64 => row.try_get::<Option<_>, _>(place)?.map(Value::Whole),
        Type::Number => row.try_get::<Option<_>, _>(place)?.map(Value::Number),
        Type::Decimal => row.try_get::<Option<_>, _>(place)?.map(Value::Decimal),
        Type::Object => {
            let read = row
                .try_get::<Option<_>, _>(place)?
                .map(RawValue::from_string);
            let object = read
                .transpose()
                .map_err(|_| QueryFailure::Malformed(column.name))?;
            object.map(Value::Object)
        }
        Type::Texts => row.try_get::<Option<_>, _>(place)?.map(Value::Texts),
    };
    Ok(value.unwrap_or(Value::Null))
}

fn instant(read: DateTime<Utc>) -> Result<Timestamp, QueryFailure> {
    Timestamp::try_from(read).map_err(|_| QueryFailure::Malformed("instant"))
}
