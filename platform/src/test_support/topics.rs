use uuid::Uuid;

use super::kafka;
use crate::kafka::topics::{TopicSpec, delete_topics, ensure_topics};

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
            let client = kafka();
            let names = names_with_prefix(&client, &prefix)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime
                .block_on(delete_topics(&client, &names))
                .map_err(std::io::Error::other)
        });
        match deleting.join() {
            Ok(Ok(())) => {}
            other => tracing::warn!(?other, "test topics were left behind"),
        }
    }
}

fn names_with_prefix(
    client: &crate::kafka::client::KafkaClientConfig,
    prefix: &str,
) -> Result<Vec<String>, std::io::Error> {
    use rdkafka::producer::{BaseProducer, Producer};
    let producer: BaseProducer = client.base().create().map_err(std::io::Error::other)?;
    let metadata = producer
        .client()
        .fetch_metadata(None, std::time::Duration::from_secs(10))
        .map_err(std::io::Error::other)?;
    Ok(metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned())
        .filter(|name| name.starts_with(prefix))
        .collect())
}
