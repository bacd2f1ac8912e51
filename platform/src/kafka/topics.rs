//! Topics: made when missing, and checked where a setting decides whether numbers are right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{KafkaClientConfig, LoggingContext};

/// Settings whose difference is an error: admission reads the log's own time,
/// and compaction would remove records that were counted.
const DECISIVE: [&str; 2] = ["message.timestamp.type", "cleanup.policy"];
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A topic as we want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Partitions when it is created; an existing topic keeps its own number.
    pub partitions: i32,
    /// Replicas of each partition; −1: the broker's default.
    pub replication: i32,
    /// Topic settings by their Kafka names.
    pub settings: Vec<(&'static str, String)>,
}

/// A setting that is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topic {topic}: {setting} is {found}, wanted {wanted}")]
pub struct SettingDifference {
    /// The topic.
    pub topic: String,
    /// The setting's Kafka name.
    pub setting: String,
    /// What we would have set.
    pub wanted: String,
    /// What the broker says.
    pub found: String,
}

/// What [`ensure_topics`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsReport {
    /// Topics made by this call.
    pub created: Vec<String>,
    /// Partitions of each topic, as they are.
    pub partitions: BTreeMap<String, i32>,
    /// Settings that differ without harm, such as a retention tuned by an operator.
    pub differences: Vec<SettingDifference>,
}

/// Why the topics are not usable.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The brokers did not answer, or refused the request as a whole.
    #[error("Kafka topics: {0}")]
    Kafka(#[from] KafkaError),
    /// A topic could not be created.
    #[error("topic {topic} could not be created: {code}")]
    Create {
        /// The topic.
        topic: String,
        /// Kafka's reason.
        code: RDKafkaErrorCode,
    },
    /// Not every partition had a leader in time.
    #[error("topics without a leader for every partition after {READY_TIMEOUT:?}: {}", .0.join(", "))]
    NotReady(Vec<String>),
    /// Settings that would make numbers wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<SettingDifference>),
    /// The task that asked for metadata was cancelled.
    #[error("Kafka topics: interrupted")]
    Interrupted,
}

/// Creates the topics that are missing, waits until each partition has a
/// leader, and compares settings.
///
/// # Errors
/// See [`TopicsError`]. May be called again after any of them.
pub async fn ensure_topics(
    client: &KafkaClientConfig,
    topics: &[TopicSpec],
) -> Result<TopicsReport, TopicsError> {
    let admin = Arc::new(admin(client)?);
    let created = create(&admin, topics).await?;
    let partitions = wait_for_leaders(&admin, topics).await?;
    let (decisive, differences) = compare_settings(&admin, topics).await?;
    if !decisive.is_empty() {
        return Err(TopicsError::Settings(decisive));
    }
    for difference in &differences {
        tracing::warn!(%difference, "a topic's setting differs");
    }
    Ok(TopicsReport {
        created,
        partitions,
        differences,
    })
}

/// Deletes topics; those that are not there are no error. For tests.
///
/// # Errors
/// [`TopicsError::Kafka`] when the brokers do not answer.
pub async fn delete_topics(client: &KafkaClientConfig, names: &[&str]) -> Result<(), TopicsError> {
    if !names.is_empty() {
        admin(client)?.delete_topics(names, &options()).await?;
    }
    Ok(())
}

fn admin(client: &KafkaClientConfig) -> Result<AdminClient<LoggingContext>, KafkaError> {
    client.base().create_with_context(LoggingContext)
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT))
}

async fn create(
    admin: &AdminClient<LoggingContext>,
    topics: &[TopicSpec],
) -> Result<Vec<String>, TopicsError> {
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            let new = NewTopic::new(
                &topic.name,
                topic.partitions,
                TopicReplication::Fixed(topic.replication),
            );
            topic
                .settings
                .iter()
                .fold(new, |new, (name, value)| new.set(name, value))
        })
        .collect();
    let mut created = Vec::new();
    for result in admin.create_topics(&new, &options()).await? {
        match result {
            Ok(topic) => created.push(topic),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(TopicsError::Create { topic, code }),
        }
    }
    Ok(created)
}

async fn wait_for_leaders(
    admin: &Arc<AdminClient<LoggingContext>>,
    topics: &[TopicSpec],
) -> Result<BTreeMap<String, i32>, TopicsError> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let ready = ready_topics(admin.clone()).await?;
        let waiting: Vec<String> = topics
            .iter()
            .filter(|topic| !ready.contains_key(&topic.name))
            .map(|topic| topic.name.clone())
            .collect();
        if waiting.is_empty() {
            let ours = |name: &String| topics.iter().any(|topic| topic.name == *name);
            return Ok(ready.into_iter().filter(|(name, _)| ours(name)).collect());
        }
        if Instant::now() >= deadline {
            return Err(TopicsError::NotReady(waiting));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Topics all of whose partitions have a leader, with their number of partitions.
async fn ready_topics(
    admin: Arc<AdminClient<LoggingContext>>,
) -> Result<BTreeMap<String, i32>, TopicsError> {
    let metadata =
        tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(None, REQUEST_TIMEOUT))
            .await
            .map_err(|_| TopicsError::Interrupted)??;
    Ok(metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
        .filter(|topic| {
            topic
                .partitions()
                .iter()
                .all(|partition| partition.leader() >= 0)
        })
        .map(|topic| {
            let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            (topic.name().to_owned(), count)
        })
        .collect())
}

type Differences = Vec<SettingDifference>;

async fn compare_settings(
    admin: &AdminClient<LoggingContext>,
    topics: &[TopicSpec],
) -> Result<(Differences, Differences), TopicsError> {
    let resources: Vec<ResourceSpecifier<'_>> = topics
        .iter()
        .map(|topic| ResourceSpecifier::Topic(&topic.name))
        .collect();
    let mut differences = Vec::new();
    for described in admin.describe_configs(&resources, &options()).await? {
        let described = described.map_err(KafkaError::AdminOp)?;
        differences.extend(differences_of(&described, topics));
    }
    Ok(differences
        .into_iter()
        .partition(|difference| DECISIVE.contains(&difference.setting.as_str())))
}

fn differences_of(described: &ConfigResource, topics: &[TopicSpec]) -> Vec<SettingDifference> {
    let OwnedResourceSpecifier::Topic(name) = &described.specifier else {
        return Vec::new();
    };
    let wanted = topics.iter().filter(|topic| topic.name == *name);
    wanted
        .flat_map(|topic| &topic.settings)
        .filter_map(|(setting, wanted)| {
            let found = described.get(setting)?.value.clone()?;
            (found != *wanted).then(|| SettingDifference {
                topic: name.clone(),
                setting: (*setting).to_owned(),
                wanted: wanted.clone(),
                found,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestTopics, kafka};

    fn spec(name: &str, settings: &[(&'static str, &str)]) -> TopicSpec {
        TopicSpec {
            name: name.to_owned(),
            partitions: 2,
            replication: -1,
            settings: settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        }
    }

    #[tokio::test]
    async fn topics_are_made_once_and_then_found() {
        let topics = TestTopics::new();
        let wanted = [spec(
            &topics.name("a"),
            &[
                ("message.timestamp.type", "LogAppendTime"),
                ("retention.ms", "3600000"),
            ],
        )];
        let first = ensure_topics(&kafka(), &wanted).await.unwrap();
        let second = ensure_topics(&kafka(), &wanted).await.unwrap();
        assert_eq!(first.created, [topics.name("a")]);
        assert_eq!(second.created, Vec::<String>::new());
        assert_eq!(second.partitions[&topics.name("a")], 2);
        assert_eq!(second.differences, []);
    }

    #[tokio::test]
    async fn a_tuned_retention_is_told_and_a_foreign_clock_is_refused() {
        let topics = TestTopics::new();
        let name = topics.name("a");
        ensure_topics(&kafka(), &[spec(&name, &[("retention.ms", "1000000")])])
            .await
            .unwrap();

        let tuned = ensure_topics(&kafka(), &[spec(&name, &[("retention.ms", "3600000")])])
            .await
            .unwrap();
        assert_eq!(tuned.differences[0].found, "1000000");

        let refused = ensure_topics(
            &kafka(),
            &[spec(&name, &[("message.timestamp.type", "LogAppendTime")])],
        )
        .await;
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("topic {name}: message.timestamp.type is CreateTime, wanted LogAppendTime")
        );
    }
}
