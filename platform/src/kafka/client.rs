//! What all our Kafka clients share.

use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;

/// Where Kafka is and how to talk to it.
///
/// `properties` are librdkafka's own (`security.protocol`, `sasl.*`, `ssl.*` …).
/// The settings that the product's guarantees rest on are applied after them and win.
#[derive(Clone, Default)]
pub struct KafkaClientConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Further librdkafka properties, in order.
    pub properties: Vec<(String, String)>,
}

impl KafkaClientConfig {
    /// The configuration every client starts from.
    pub fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "flowmeter")
            .set("socket.keepalive.enable", "true")
            // Back soon after a broker's restart, without hammering it.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            // New partitions are seen within a minute.
            .set("topic.metadata.refresh.interval.ms", "60000");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("allow.auto.create.topics", "false")
            // What is shown is the subscriber's filter's business (target `librdkafka`).
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

impl From<&KafkaConfig> for KafkaClientConfig {
    fn from(config: &KafkaConfig) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            brokers: config.brokers.clone(),
            properties: config.properties.iter().map(owned).collect(),
        }
    }
}

/// Names the properties but never their values: some are passwords.
impl fmt::Debug for KafkaClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .properties
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        f.debug_struct("KafkaClientConfig")
            .field("brokers", &self.brokers)
            .field("properties", &names)
            .finish()
    }
}

/// A context that logs, for clients that need nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoggingContext;

impl ClientContext for LoggingContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for LoggingContext {}

/// Routes a line of librdkafka to `tracing`.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
    match level {
        Emerg | Alert | Critical | Error => {
            tracing::error!(target: "librdkafka", facility, "{message}")
        }
        Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        Notice | Info => tracing::info!(target: "librdkafka", facility, "{message}"),
        Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Logs an error of the client itself. Mostly a broker that is away for a while,
/// which the client mends alone: hence a warning.
pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    // What a reader of a log waits for.
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
        return;
    }
    tracing::warn!(target: "librdkafka", %error, "{reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_configuration_tells_no_secret() {
        let config = KafkaClientConfig {
            brokers: "k:9092".to_owned(),
            properties: vec![("sasl.password".to_owned(), "hunter2".to_owned())],
        };
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"));
    }

    #[test]
    fn properties_apply_but_cannot_undo_what_guarantees_rest_on() {
        let config = KafkaClientConfig {
            brokers: "k:9092".to_owned(),
            properties: vec![
                ("client.id".to_owned(), "mine".to_owned()),
                ("allow.auto.create.topics".to_owned(), "true".to_owned()),
            ],
        };
        let base = config.base();
        assert_eq!(base.get("client.id"), Some("mine"));
        assert_eq!(base.get("allow.auto.create.topics"), Some("false"));
    }
}
