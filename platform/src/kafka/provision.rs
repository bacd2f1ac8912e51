//! What must be in Kafka and the registry before anything runs: topics with their settings,
//! and the newest schemas.

use std::time::Duration;

use schemas::codec::{event_schema, rollup_schema};
use schemas::{EventKind, Topics};

use super::client::KafkaClientConfig;
use super::registry::{RegisterError, RegistryClient};
use super::topics::{TopicSpec, TopicsError, TopicsReport, ensure_topics};

/// How topics are made.
#[derive(Debug, Clone, Copy)]
pub struct TopicDefaults {
    /// Partitions of each.
    pub partitions: i32,
    /// Replicas; −1: the broker's default.
    pub replication: i32,
    /// How long events and deltas stay in Kafka. Enough for a consumer to catch up after a
    /// long weekend; TimescaleDB is what keeps them.
    pub retention: Duration,
    /// How long dead letters stay.
    pub dead_letter_retention: Duration,
}

/// Why the installation could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// See [`TopicsError`].
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// A schema was not registered.
    #[error("subject {subject}: {error}")]
    Schema {
        /// The subject.
        subject: String,
        /// Why.
        error: RegisterError,
    },
}

/// Makes and checks the topics and registers the schemas. May be repeated.
///
/// # Errors
/// See [`ProvisionError`].
pub async fn provision(
    client: &KafkaClientConfig,
    registry: &RegistryClient,
    topics: &Topics,
    defaults: &TopicDefaults,
) -> Result<TopicsReport, ProvisionError> {
    let report = ensure_topics(client, &specs(topics, defaults)).await?;
    let events = EventKind::ALL.map(|kind| (topics.events(kind), event_schema(kind)));
    let rollups = (topics.rollups(), rollup_schema());
    for (topic, schema) in events.into_iter().chain([rollups]) {
        let subject = Topics::subject(&topic);
        registry
            .set_compatibility(&subject, "BACKWARD_TRANSITIVE")
            .await
            .map_err(|error| ProvisionError::Schema { subject, error })?;
        register(registry, &topic, schema).await?;
    }
    Ok(report)
}

/// Registers the newest schema of a topic's values and gives its id.
///
/// # Errors
/// See [`ProvisionError::Schema`].
pub async fn register(
    registry: &RegistryClient,
    topic: &str,
    schema: &str,
) -> Result<i32, ProvisionError> {
    let subject = Topics::subject(topic);
    registry
        .register(&subject, schema)
        .await
        .map_err(|error| ProvisionError::Schema { subject, error })
}

fn specs(topics: &Topics, defaults: &TopicDefaults) -> Vec<TopicSpec> {
    let spec = |name: String, retention: Duration, more: &[(&'static str, &str)]| {
        let mut settings = vec![
            // Admission reads the log's own time.
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", retention.as_millis().to_string()),
        ];
        settings.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        TopicSpec {
            name,
            partitions: defaults.partitions,
            replication: defaults.replication,
            settings,
        }
    };
    let mut specs: Vec<TopicSpec> = EventKind::ALL
        .into_iter()
        .map(|kind| spec(topics.events(kind), defaults.retention, &[]))
        .collect();
    specs.push(spec(topics.rollups(), defaults.retention, &[]));
    // The largest record must fit, with the headers it gets.
    let room = [("max.message.bytes", "2097152")];
    specs.push(spec(topics.admitted(), defaults.retention, &room));
    specs.push(spec(
        topics.dead_letters(),
        defaults.dead_letter_retention,
        &room,
    ));
    specs
}
