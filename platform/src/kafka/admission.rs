//! Which records count. Every consumer of a topic of events asks here, and since the answer
//! follows from the log alone (the record, its log time, its registered schema), they all
//! get the same.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::Headers;
use schemas::codec::{WriterSchema, decode_event};
use schemas::dead_letter::Reason;
use schemas::event::ValidationContext;
use schemas::{Event, EventKind, Timestamp};
use tokio::runtime::Handle;

use super::registry::{
    CacheSettings, LookupError, RegistryClient, SCHEMA_ID_HEADER, SchemaCache, SchemaRef, split,
};

/// What became of a record.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub enum Verdict {
    /// It counts.
    Admitted(Event),
    /// It does not, and belongs in the dead letters.
    Refused(Refusal),
}

/// Why a record does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason's code.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Refusal {
    fn verdict(reason: Reason, message: impl ToString) -> Verdict {
        Verdict::Refused(Self {
            reason,
            message: message.to_string(),
        })
    }
}

/// The parts of a record that admission reads.
#[derive(Debug, Clone, Copy)]
pub struct RecordParts<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The header that may name the value's schema.
    pub schema_header: Option<&'a [u8]>,
    /// When the log took it, milliseconds since the epoch.
    pub log_time: Option<i64>,
}

impl<'a> RecordParts<'a> {
    /// The parts of a consumed record.
    pub fn of(record: &'a impl Message) -> Self {
        let schema_header = record.headers().and_then(|headers| {
            let header = headers.iter().find(|h| h.key == SCHEMA_ID_HEADER)?;
            Some(header.value.unwrap_or_default())
        });
        Self {
            key: record.key(),
            value: record.payload(),
            schema_header,
            log_time: record.timestamp().to_millis(),
        }
    }
}

/// Judges records. Cheap to clone; all clones share one schema cache.
#[derive(Clone)]
pub struct Admission {
    schemas: SchemaCache<WriterSchema>,
    retention_seconds: i64,
}

impl Admission {
    /// Admission with the schemas of a registry; events older than `retention` at their
    /// record's time are refused.
    pub fn new(registry: RegistryClient, retention: Duration) -> Self {
        Self {
            schemas: SchemaCache::new(registry, &CacheSettings::default(), WriterSchema::parse),
            retention_seconds: i64::try_from(retention.as_secs()).unwrap_or(i64::MAX),
        }
    }

    /// Judges a record of a topic of `kind`, from a thread outside of `runtime`.
    ///
    /// # Errors
    /// When the registry cannot be asked: ask again; this is no verdict.
    pub fn judge(
        &self,
        runtime: &Handle,
        kind: EventKind,
        record: RecordParts<'_>,
    ) -> Result<Verdict, LookupError> {
        judge(kind, record, self.retention_seconds, |reference| {
            self.schemas.get_blocking(runtime, reference)
        })
    }

    /// The schema that a record of ours, such as a rollup delta, was written with.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn schema(
        &self,
        runtime: &Handle,
        reference: SchemaRef,
    ) -> Result<Arc<WriterSchema>, LookupError> {
        self.schemas.get_blocking(runtime, reference)
    }
}

/// The whole decision; `lookup` finds a schema.
fn judge(
    kind: EventKind,
    record: RecordParts<'_>,
    retention_seconds: i64,
    lookup: impl FnOnce(SchemaRef) -> Result<Arc<WriterSchema>, LookupError>,
) -> Result<Verdict, LookupError> {
    let Some(value) = record.value else {
        return Ok(Refusal::verdict(Reason::NoValue, "the record has no value"));
    };
    let (reference, avro) = match split(value, record.schema_header) {
        Ok(parts) => parts,
        Err(error) => return Ok(Refusal::verdict(Reason::BadFraming, error)),
    };
    let schema = match lookup(reference) {
        Ok(schema) => schema,
        Err(error @ LookupError::NotFound) => {
            return Ok(Refusal::verdict(Reason::UnknownSchema, error));
        }
        Err(error @ LookupError::Invalid(_)) => {
            return Ok(Refusal::verdict(Reason::UnusableSchema, error));
        }
        Err(error @ LookupError::Transient(_)) => return Err(error),
    };
    let event = match decode_event(kind, &schema, avro) {
        Ok(event) => event,
        Err(error) => return Ok(Refusal::verdict(Reason::Undecodable, error)),
    };
    // The topics are made with log append time, so every record has a sound one.
    let record_time =
        Timestamp::from_millis(record.log_time.unwrap_or(0)).unwrap_or(Timestamp::MIN);
    let context = ValidationContext {
        record_time,
        retention_seconds,
    };
    let event = match event.validate(&context) {
        Ok(event) => event,
        Err(faults) => {
            let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
            return Ok(Refusal::verdict(Reason::Invalid, all.join("; ")));
        }
    };
    // The key decides the partition, and with it the order and the deduplication.
    if record.key != Some(event.key().as_bytes()) {
        let message = "the key is not organization_id:user_id of the event";
        return Ok(Refusal::verdict(Reason::WrongKey, message));
    }
    Ok(Verdict::Admitted(event))
}

#[cfg(test)]
mod tests;
