//! What a record of `metrics.rollups` says.

use platform::kafka::{
    log_reader::LogRecord,
    registry::{
        CacheSettings, LookupError, RegistryClient, SCHEMA_ID_HEADER, SchemaCache, Unknown, split,
    },
    sources::{OLDEST_HEADER, oldest_of},
};
use schemas::{
    Watermarks,
    codec::{WriterSchema, decode_rollups},
};
use tokio::runtime::Handle;

use super::{organization::Delta, world::World};

/// Reads records, on the follower's thread.
pub(super) struct Reader {
    schemas: SchemaCache<WriterSchema>,
    runtime: Handle,
}

impl Reader {
    /// With a registry that is asked for the schemas of deltas, all of which it knows: the
    /// aggregator registers its own before it writes.
    pub(super) fn new(registry: RegistryClient, runtime: Handle) -> Self {
        let settings = CacheSettings::default();
        Self {
            schemas: SchemaCache::new(registry, Unknown::Doubted, &settings, WriterSchema::parse),
            runtime,
        }
    }

    /// Adds what a record says. One that no aggregator of ours can have written is left out,
    /// and logged.
    ///
    /// # Errors
    /// When the registry cannot be asked; then nothing was added.
    pub(super) fn add(&self, record: &LogRecord, world: &World) -> Result<(), LookupError> {
        match self.read(record, world) {
            Ok(()) => Ok(()),
            Err(Unreadable::Registry(error)) => Err(error),
            Err(Unreadable::Malformed(why)) => {
                tracing::error!(
                    partition = record.partition,
                    offset = record.offset,
                    why,
                    "a record of rollup deltas cannot be read; live views are without it"
                );
                Ok(())
            }
        }
    }

    fn read(&self, record: &LogRecord, world: &World) -> Result<(), Unreadable> {
        let Some(value) = &record.value else {
            let told = record
                .header(Watermarks::HEADER)
                .ok_or("it has neither value nor watermarks")?;
            let told = Watermarks::from_header(told).map_err(|error| error.to_string())?;
            world.add_watermarks(record.partition, told);
            return Ok(());
        };
        let framed = split(value, record.header(SCHEMA_ID_HEADER));
        let (schema, avro) = framed.map_err(|error| error.to_string())?;
        let schema = match self.schemas.get_blocking(&self.runtime, schema) {
            Err(error @ LookupError::Transient(_)) => return Err(Unreadable::Registry(error)),
            found => found.map_err(|error| error.to_string())?,
        };
        let batch = decode_rollups(&schema, avro).map_err(|error| error.to_string())?;
        let entries = batch.entries.into_iter();
        let deltas: Result<Vec<Delta>, _> = entries.map(|entry| entry.into_parts()).collect();
        let deltas = deltas.map_err(|error| error.to_string())?;
        let oldest = oldest_of(record.header(OLDEST_HEADER)).unwrap_or(record.log_time);
        world.add(batch.organization_id, deltas, oldest);
        Ok(())
    }
}

enum Unreadable {
    Registry(LookupError),
    Malformed(String),
}

impl From<String> for Unreadable {
    fn from(why: String) -> Self {
        Self::Malformed(why)
    }
}

impl From<&str> for Unreadable {
    fn from(why: &str) -> Self {
        Self::Malformed(why.to_owned())
    }
}
