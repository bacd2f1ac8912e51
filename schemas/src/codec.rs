//! Events and rollup deltas as Avro, without any framing.

mod any;

use std::{fmt, io::BufRead, sync::LazyLock};

use serde::{Serialize, de::DeserializeOwned};
use serde_avro_fast::{Schema, de::DeserializerState, ser::SerializerConfig};

use crate::{Event, EventKind, rollup::RollupBatch};

const ROLLUP_BATCH: &str = include_str!("../avro/rollup_batch.avsc");

/// The text of the newest schema of an event kind, as registered.
pub const fn event_schema(kind: EventKind) -> &'static str {
    match kind {
        EventKind::CommandExecution => include_str!("../avro/command_execution.avsc"),
        EventKind::AgentInteraction => include_str!("../avro/agent_interaction.avsc"),
        EventKind::ProductivityMetric => include_str!("../avro/productivity_metric.avsc"),
        EventKind::UserSession => include_str!("../avro/user_session.avsc"),
    }
}

/// The text of the newest schema of rollup deltas, as registered.
pub const fn rollup_schema() -> &'static str {
    ROLLUP_BATCH
}

static EVENT_SCHEMAS: LazyLock<[Schema; 4]> = LazyLock::new(|| {
    EventKind::ALL.map(|kind| event_schema(kind).parse().expect("our schemas parse"))
});
static ROLLUP_SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| ROLLUP_BATCH.parse().expect("our schemas parse"));

/// The schema some record was written with.
pub struct WriterSchema(Schema);

impl WriterSchema {
    /// Parses the text that the registry gave.
    ///
    /// # Errors
    /// If it is no Avro schema.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|e: serde_avro_fast::schema::SchemaError| e.to_string())
    }
}

impl fmt::Debug for WriterSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriterSchema")
    }
}

/// The bytes are not what their schema and ours say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Writes an event with the newest schema of its kind.
///
/// # Errors
/// If a value does not fit the schema; a validated event always does.
pub fn encode_event(event: &Event) -> Result<Vec<u8>, String> {
    let schema = &EVENT_SCHEMAS[event.kind() as usize];
    match event {
        Event::CommandExecution(e) => encode(e, schema),
        Event::AgentInteraction(e) => encode(e, schema),
        Event::ProductivityMetric(e) => encode(e, schema),
        Event::UserSession(e) => encode(e, schema),
    }
}

/// Reads an event of `kind`, by field names, with the schema it was written with. It is not
/// validated.
///
/// # Errors
/// If the bytes do not follow the schema, go on after its end, or lack a field of ours.
pub fn decode_event(
    kind: EventKind,
    writer: &WriterSchema,
    bytes: &[u8],
) -> Result<Event, DecodeError> {
    let schema = &writer.0;
    Ok(match kind {
        EventKind::CommandExecution => Event::CommandExecution(decode(schema, bytes)?),
        EventKind::AgentInteraction => Event::AgentInteraction(decode(schema, bytes)?),
        EventKind::ProductivityMetric => Event::ProductivityMetric(decode(schema, bytes)?),
        EventKind::UserSession => Event::UserSession(decode(schema, bytes)?),
    })
}

/// Writes rollup deltas with their newest schema.
///
/// # Errors
/// If a value does not fit the schema; those of a [`RollupBatch`] always do.
pub fn encode_rollups(batch: &RollupBatch) -> Result<Vec<u8>, String> {
    encode(batch, &ROLLUP_SCHEMA)
}

/// Reads rollup deltas with the schema they were written with.
///
/// # Errors
/// If the bytes do not follow the schema, go on after its end, or lack a field of ours.
pub fn decode_rollups(writer: &WriterSchema, bytes: &[u8]) -> Result<RollupBatch, DecodeError> {
    decode(&writer.0, bytes)
}

/// Reads any record as JSON with the schema it was written with, for people to look at: bytes
/// are hexadecimal text, and of a logical type only decimals and UUIDs look like it.
///
/// # Errors
/// If the bytes do not follow the schema, or go on after its end.
pub fn decode_json(writer: &WriterSchema, bytes: &[u8]) -> Result<serde_json::Value, DecodeError> {
    decode::<any::Any>(&writer.0, bytes).map(|any| any.0)
}

/// Room for most events: a buffer that begins empty is moved six times until it holds one.
const USUAL_BYTES: usize = 512;

fn encode<T: Serialize>(value: &T, schema: &Schema) -> Result<Vec<u8>, String> {
    let mut config = SerializerConfig::new(schema);
    let buffer = Vec::with_capacity(USUAL_BYTES);
    serde_avro_fast::to_datum(value, buffer, &mut config).map_err(|e| e.to_string())
}

fn decode<T: DeserializeOwned>(schema: &Schema, bytes: &[u8]) -> Result<T, DecodeError> {
    let mut state = DeserializerState::from_slice(bytes, schema);
    let value = T::deserialize(state.deserializer()).map_err(|e| DecodeError(e.to_string()))?;
    match state.into_reader().fill_buf() {
        Ok([]) => Ok(value),
        _ => Err(DecodeError("bytes after the end of the record".to_owned())),
    }
}

#[cfg(test)]
mod tests;
