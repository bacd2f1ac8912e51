//! How far behind the consumers are, as Kafka and the database say.

use std::time::Duration;

use platform::kafka::client::KafkaClientConfig;
use platform::test_support::kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::{EventKind, Topics};
use sqlx::PgPool;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What is to be read, or why that cannot be told now.
pub(crate) type Lag = Result<(), String>;

/// Whether everything was read: by the aggregator first, as its output is the sink's input.
pub(crate) async fn nothing_is_left(
    topics: &Topics,
    group_prefix: &str,
    partitions: i32,
    pool: &PgPool,
) -> Lag {
    let group = format!("{group_prefix}-aggregator");
    let names = EventKind::ALL.map(|kind| topics.events(kind));
    in_background(move || aggregator_lag(&group, &names, partitions)).await?;
    let cursors: Vec<(String, i32, i64)> =
        sqlx::query_as("select topic, partition, next_offset from flowmeter.cursors")
            .fetch_all(pool)
            .await
            .map_err(|error| error.to_string())?;
    let mut names = vec![topics.admitted(), topics.dead_letters()];
    // Whatever else the sink has begun to read.
    names.extend(cursors.iter().map(|(topic, ..)| topic.clone()));
    names.sort();
    names.dedup();
    in_background(move || sink_lag(&names, partitions, &cursors)).await
}

/// How many members a group has, and whether it is not about to change.
pub(crate) async fn members(group: String) -> Option<usize> {
    let asked = in_background(move || {
        let consumer = consumer("nobody", "read_uncommitted").map_err(|e| e.to_string())?;
        let list = consumer.fetch_group_list(Some(&group), TIMEOUT);
        let list = list.map_err(|error| error.to_string())?;
        let stable = list.groups().iter().find(|group| group.state() == "Stable");
        Ok(stable.map(|group| group.members().len()))
    });
    asked.await.ok().flatten()
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|error| error.to_string())?
}

fn consumer(group: &str, isolation: &str) -> Result<BaseConsumer, KafkaError> {
    let client: KafkaClientConfig = kafka();
    client
        .base()
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
}

fn aggregator_lag(group: &str, topics: &[String], partitions: i32) -> Lag {
    let told = |error: KafkaError| error.to_string();
    let consumer = consumer(group, "read_committed").map_err(told)?;
    let mut list = TopicPartitionList::new();
    for topic in topics {
        list.add_partition_range(topic, 0, partitions - 1);
    }
    let committed = consumer.committed_offsets(list, TIMEOUT).map_err(told)?;
    for partition in committed.elements() {
        let (topic, number) = (partition.topic(), partition.partition());
        partition.error().map_err(told)?;
        let watermarks = consumer.fetch_watermarks(topic, number, TIMEOUT);
        let (_, end) = watermarks.map_err(told)?;
        let next = match partition.offset() {
            Offset::Offset(next) => next,
            _ => 0,
        };
        if next < end {
            return Err(format!(
                "{topic}/{number}: {} records not judged",
                end - next
            ));
        }
    }
    Ok(())
}

/// Offsets alone do not tell: the marks of transactions take some, and so does what was
/// aborted. So it is tried whether there is anything to read.
fn sink_lag(topics: &[String], partitions: i32, cursors: &[(String, i32, i64)]) -> Lag {
    let told = |error: KafkaError| error.to_string();
    let everything = consumer("nobody", "read_uncommitted").map_err(told)?;
    let committed = consumer("nobody", "read_committed").map_err(told)?;
    let mut unread = TopicPartitionList::new();
    for topic in topics {
        for number in 0..partitions {
            let end = |consumer: &BaseConsumer| consumer.fetch_watermarks(topic, number, TIMEOUT);
            let (_, high) = end(&everything).map_err(told)?;
            let (_, stable) = end(&committed).map_err(told)?;
            if stable < high {
                return Err(format!(
                    "{topic}/{number}: a transaction is open at {stable}"
                ));
            }
            let cursor = cursors.iter().find(|(t, n, _)| (t, *n) == (topic, number));
            let next = cursor.map_or(0, |(_, _, next)| *next);
            if next < stable {
                let added = unread.add_partition_offset(topic, number, Offset::Offset(next));
                added.map_err(told)?;
            }
        }
    }
    if unread.count() == 0 {
        return Ok(());
    }
    committed.assign(&unread).map_err(told)?;
    let mut left = unread.count();
    while left > 0 {
        match committed.poll(TIMEOUT) {
            Some(Ok(record)) => {
                let (topic, number) = (record.topic(), record.partition());
                return Err(format!(
                    "{topic}/{number}: {} is not stored",
                    record.offset()
                ));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("Kafka does not answer".to_owned()),
        }
    }
    Ok(())
}
