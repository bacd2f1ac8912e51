//! Which records count: judged here, by the aggregator alone, which forwards those that do.
//! The answer follows from the log (the record, its log time, its registered schema, and the
//! [`Deduplicator`] for what came before), so that reading again gives the same.

mod deduplicator;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::Headers;
use schemas::codec::{WriterSchema, decode_event};
use schemas::dead_letter::Reason;
use schemas::event::ValidationContext;
use schemas::{Event, EventKind, Timestamp};
use tokio::runtime::Handle;
use uuid::Uuid;

pub use self::deduplicator::{Deduplicator, Sighting};
use super::registry::{
    CacheSettings, LookupError, RegistryClient, SCHEMA_ID_HEADER, SchemaCache, SchemaRef,
    SettledRegistry, Unknown, split,
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
    /// Which event it is, if the record could be read that far.
    pub event_id: Option<Uuid>,
}

impl Refusal {
    /// A refusal for `reason`.
    pub fn new(reason: Reason, message: impl ToString) -> Self {
        Self {
            reason,
            message: message.to_string(),
            event_id: None,
        }
    }

    /// A refusal of a record that was read.
    #[must_use]
    pub fn of_event(self, event_id: Uuid) -> Self {
        Self {
            event_id: Some(event_id),
            ..self
        }
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
    /// When the log took it.
    pub log_time: Timestamp,
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
            log_time: log_time(record),
        }
    }
}

/// When the log took a record. Our topics have log append time, so each has a sound one.
pub fn log_time(record: &impl Message) -> Timestamp {
    let millis = record.timestamp().to_millis().unwrap_or(0);
    Timestamp::from_millis(millis).unwrap_or(Timestamp::MIN)
}

/// A record's Avro bytes and the schema they were written with, or why there are none.
type Opened<'a> = Result<(Arc<WriterSchema>, &'a [u8]), Refusal>;

/// Judges records. Cheap to clone; all clones share one schema cache.
#[derive(Clone)]
pub struct Admission {
    schemas: SchemaCache<WriterSchema>,
    retention_seconds: i64,
}

impl Admission {
    /// Admission with the schemas of a registry, within the runtime; events older than
    /// `retention` at their record's time are refused. A schema of `registry` must have been
    /// registered by this client or a clone of it, before one is believed not to exist.
    pub fn new(registry: RegistryClient, retention: Duration) -> Self {
        let unknown = Unknown::BelievedOf(SettledRegistry::watch(registry.clone()));
        Self {
            schemas: schemas(registry, unknown),
            retention_seconds: i64::try_from(retention.as_secs()).unwrap_or(i64::MAX),
        }
    }

    /// Admission of what was admitted before: no event is too old, as a setting that differs
    /// between two services must not make them disagree; and every schema was known, so that a
    /// registry that knows one no more is asked again.
    pub fn again(registry: RegistryClient) -> Self {
        Self {
            schemas: schemas(registry, Unknown::Doubted),
            retention_seconds: i64::MAX,
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
}

fn schemas(registry: RegistryClient, unknown: Unknown) -> SchemaCache<WriterSchema> {
    SchemaCache::new(
        registry,
        unknown,
        &CacheSettings::default(),
        WriterSchema::parse,
    )
}

fn open(
    record: RecordParts<'_>,
    lookup: impl FnOnce(SchemaRef) -> Result<Arc<WriterSchema>, LookupError>,
) -> Result<Opened<'_>, LookupError> {
    let Some(value) = record.value else {
        return Ok(Err(Refusal::new(
            Reason::NoValue,
            "the record has no value",
        )));
    };
    let (reference, avro) = match split(value, record.schema_header) {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(Refusal::new(Reason::BadFraming, error))),
    };
    match lookup(reference) {
        Ok(schema) => Ok(Ok((schema, avro))),
        Err(error @ LookupError::NotFound) => Ok(Err(Refusal::new(Reason::UnknownSchema, error))),
        Err(error @ LookupError::Invalid(_)) => {
            Ok(Err(Refusal::new(Reason::UnusableSchema, error)))
        }
        Err(error @ LookupError::Transient(_)) => Err(error),
    }
}

/// The whole decision; `lookup` finds a schema.
fn judge(
    kind: EventKind,
    record: RecordParts<'_>,
    retention_seconds: i64,
    lookup: impl FnOnce(SchemaRef) -> Result<Arc<WriterSchema>, LookupError>,
) -> Result<Verdict, LookupError> {
    let judged = open(record, lookup)?
        .and_then(|(schema, avro)| examine(kind, record, retention_seconds, &schema, avro));
    Ok(judged.map_or_else(Verdict::Refused, Verdict::Admitted))
}

/// What follows once the schema is known.
fn examine(
    kind: EventKind,
    record: RecordParts<'_>,
    retention_seconds: i64,
    schema: &WriterSchema,
    avro: &[u8],
) -> Result<Event, Refusal> {
    let event = decode_event(kind, schema, avro)
        .map_err(|error| Refusal::new(Reason::Undecodable, error))?;
    let context = ValidationContext {
        record_time: record.log_time,
        retention_seconds,
    };
    let event_id = event.common().event_id;
    let event = event.validate(&context).map_err(|faults| {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Refusal::new(Reason::Invalid, all.join("; ")).of_event(event_id)
    })?;
    // The key decides the partition, and with it the order and the deduplication.
    if !record.key.is_some_and(|key| event.has_key(key)) {
        let message = "the key is not organization_id:user_id of the event";
        return Err(Refusal::new(Reason::WrongKey, message).of_event(event_id));
    }
    Ok(event)
}

#[cfg(test)]
mod tests;
