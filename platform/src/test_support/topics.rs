use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::error::KafkaError;
use uuid::Uuid;

use super::kafka;
use crate::kafka::client::{KafkaClientConfig, LoggingContext};
use crate::kafka::topics::{TopicSpec, ensure_topics};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A prefix for the topics of one test; what was created under it goes with this value.
#[derive(Debug)]
pub struct TestTopics {
    prefix: String,
}

impl Default for TestTopics {
    fn default() -> Self {
        Self::new()
    }
}

impl TestTopics {
    /// A prefix that nobody else has.
    pub fn new() -> Self {
        Self {
            prefix: format!("t-{}.", Uuid::new_v4().simple()),
        }
    }

    /// The prefix, which ends in a dot.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A topic's full name. Also serves for consumer groups.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Creates a topic in the log's own time.
    ///
    /// # Panics
    /// When Kafka does not.
    pub async fn create(&self, name: &str, partitions: i32) -> String {
        let topic = TopicSpec {
            name: self.name(name),
            partitions,
            replication: -1,
            settings: vec![("message.timestamp.type", "LogAppendTime".to_owned())],
        };
        ensure_topics(&kafka(), std::slice::from_ref(&topic))
            .await
            .expect("Kafka creates a topic");
        topic.name
    }
}

impl Drop for TestTopics {
    fn drop(&mut self) {
        let prefix = self.prefix.clone();
        let deleting = std::thread::spawn(move || {
            let deleted = delete_all(&kafka(), &prefix).map_err(|error| error.to_string());
            deleted.and(delete_subjects(&prefix))
        });
        match deleting.join() {
            Ok(Ok(())) => {}
            other => tracing::warn!(?other, "test topics were left behind"),
        }
    }
}

/// Deletes the topics and consumer groups of a prefix. On a thread of its own,
/// for the test's runtime may be gone or unwinding.
fn delete_all(client: &KafkaClientConfig, prefix: &str) -> Result<(), KafkaError> {
    let admin: AdminClient<LoggingContext> = client.base().create_with_context(LoggingContext)?;
    let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
    let groups = admin.inner().fetch_group_list(None, TIMEOUT)?;
    let ours = |name: &&str| name.starts_with(prefix);
    let topics: Vec<&str> = metadata
        .topics()
        .iter()
        .map(|t| t.name())
        .filter(ours)
        .collect();
    let groups: Vec<&str> = groups
        .groups()
        .iter()
        .map(|g| g.name())
        .filter(ours)
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
    runtime.block_on(async {
        if !topics.is_empty() {
            admin.delete_topics(&topics, &options).await?;
        }
        if !groups.is_empty() {
            admin.delete_groups(&groups, &options).await?;
        }
        Ok(())
    })
}

/// Deletes the schemas registered for topics of a prefix, if a registry is known.
fn delete_subjects(prefix: &str) -> Result<(), String> {
    let Ok(url) = std::env::var("SCHEMA_REGISTRY_URL") else {
        return Ok(());
    };
    let delete = async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let subjects: Vec<String> = client
            .get(format!("{url}/subjects"))
            .send()
            .await?
            .json()
            .await?;
        for subject in subjects.iter().filter(|s| s.starts_with(prefix)) {
            // The registry wants a subject to be put away before it is gone.
            for how in ["", "?permanent=true"] {
                let url = format!("{url}/subjects/{subject}{how}");
                client.delete(url).send().await?;
            }
        }
        Ok::<_, reqwest::Error>(())
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?
        .block_on(delete)
        .map_err(|error| error.to_string())
}
