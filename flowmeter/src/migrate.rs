//! `flowmeter migrate`: everything that must exist before a service starts.

use std::time::Duration;

use anyhow::Context;
use platform::config::{DatabaseConfig, Env, KafkaConfig};
use platform::database::{DatabaseUrl, MigrateOptions, migrate};
use platform::kafka::client::KafkaClientConfig;
use platform::kafka::provision::{TopicDefaults, provision};
use platform::kafka::registry::RegistryClient;
use schemas::Topics;
use secrecy::ExposeSecret;
use tracing::info;

const DAY: Duration = Duration::from_secs(86_400);

/// Settings of `flowmeter migrate`.
#[derive(Debug, Clone)]
pub struct MigrateConfig {
    /// Kafka and the registry.
    pub kafka: KafkaConfig,
    /// The database, as a user that may create roles.
    pub database: DatabaseConfig,
    /// How long events and deltas stay in Kafka: `KAFKA_RETENTION_DAYS`, default 7.
    pub kafka_retention: Duration,
    /// How long dead letters stay: `DEAD_LETTER_RETENTION_DAYS`, default 30.
    pub dead_letter_retention: Duration,
}

impl MigrateConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let retention = retention(env);
        Self {
            kafka: KafkaConfig::from_env(env),
            database: DatabaseConfig::from_env(env),
            kafka_retention: retention.events,
            dead_letter_retention: retention.dead_letters,
        }
    }
}

/// How long records stay in topics that were made with these settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// `KAFKA_RETENTION_DAYS`.
    pub events: Duration,
    /// `DEAD_LETTER_RETENTION_DAYS`.
    pub dead_letters: Duration,
}

/// Reads the settings.
pub(crate) fn retention(env: &mut Env) -> Retention {
    Retention {
        events: DAY * env.number("KAFKA_RETENTION_DAYS", 7, 1..=3_650),
        dead_letters: DAY * env.number("DEAD_LETTER_RETENTION_DAYS", 30, 1..=3_650),
    }
}

/// Creates what is missing: topics, schemas, roles, tables. May be repeated.
///
/// # Errors
/// Which part could not be made, and why.
pub async fn run(config: &MigrateConfig) -> anyhow::Result<()> {
    let registry = RegistryClient::connect(&config.kafka)
        .map_err(anyhow::Error::msg)
        .context("SCHEMA_REGISTRY_URL")?;
    let report = provision(
        &KafkaClientConfig::from(&config.kafka),
        &registry,
        &Topics::new(&config.kafka.topic_prefix),
        &TopicDefaults {
            partitions: config.kafka.partitions,
            replication: config.kafka.replication,
            retention: config.kafka_retention,
            dead_letter_retention: config.dead_letter_retention,
        },
    )
    .await?;
    info!(
        topics = report.partitions.len(),
        created = report.created.len(),
        "topics and schemas are ready"
    );
    let url = DatabaseUrl::parse(config.database.url.expose_secret())?;
    let options = MigrateOptions {
        api_password: config.database.api_password.clone(),
        sink_password: config.database.sink_password.clone(),
        jobs_password: config.database.jobs_password.clone(),
    };
    let applied = migrate(&url, &options).await?;
    info!(
        applied = applied.applied,
        total = applied.total,
        compressed = applied.compressed,
        elapsed_ms = applied.elapsed.as_millis(),
        "tables are ready"
    );
    Ok(())
}
