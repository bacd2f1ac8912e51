//! How many records each consumer has not read yet.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use platform::kafka::client::{KafkaClientConfig, LoggingContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use schemas::{EventKind, Topics};
use sqlx::PgPool;

/// How long the brokers may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// By consumer, in records. Marks of transactions count as records.
pub(super) type Lags = BTreeMap<&'static str, i64>;

/// The consumers, which are asked about and not joined.
#[derive(Clone)]
pub(super) struct Groups {
    pub(super) client: KafkaClientConfig,
    pub(super) topics: Topics,
    /// `KAFKA_GROUP_PREFIX`.
    pub(super) prefix: String,
}

impl Groups {
    /// Asks Kafka, and the database for the sink's cursors. The inner error is Kafka's.
    pub(super) async fn read(&self, pool: &PgPool) -> anyhow::Result<anyhow::Result<Lags>> {
        let sink = format!("{}-sink", self.prefix);
        let sql = "select topic, partition, next_offset from flowmeter.cursors where consumer = $1";
        let cursors: Vec<(String, i32, i64)> =
            sqlx::query_as(sql).bind(sink).fetch_all(pool).await?;
        let groups = self.clone();
        // The client library blocks.
        let asked = tokio::task::spawn_blocking(move || groups.ask(&cursors)).await;
        asked.context("asking Kafka panicked")
    }

    fn ask(&self, cursors: &[(String, i32, i64)]) -> anyhow::Result<Lags> {
        let consumer: BaseConsumer<LoggingContext> = self
            .client
            .base()
            .set("group.id", format!("{}-aggregator", self.prefix))
            .set("enable.auto.commit", "false")
            .create_with_context(LoggingContext)?;
        let mut events = TopicPartitionList::new();
        for kind in EventKind::ALL {
            let topic = self.topics.events(kind);
            events.add_partition_range(&topic, 0, partitions(&consumer, &topic)? - 1);
        }
        let mut aggregator = 0;
        for partition in consumer.committed_offsets(events, ANSWER)?.elements() {
            partition.error()?;
            let next = match partition.offset() {
                Offset::Offset(next) => Some(next),
                _ => None,
            };
            aggregator += behind(&consumer, partition.topic(), partition.partition(), next)?;
        }
        let mut sink = 0;
        for topic in [self.topics.admitted(), self.topics.dead_letters()] {
            for number in 0..partitions(&consumer, &topic)? {
                let cursor = cursors.iter().find(|(t, n, _)| (t, *n) == (&topic, number));
                sink += behind(&consumer, &topic, number, cursor.map(|(_, _, next)| *next))?;
            }
        }
        Ok([("aggregator", aggregator), ("sink", sink)].into())
    }
}

fn partitions(consumer: &BaseConsumer<LoggingContext>, topic: &str) -> anyhow::Result<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata
        .topics()
        .first()
        .map_or(0, |topic| topic.partitions().len());
    if found == 0 {
        return Err(anyhow!("there is no topic {topic}"));
    }
    Ok(i32::try_from(found)?)
}

/// From `next`, or from the first record that is still there, to the end.
fn behind(
    consumer: &BaseConsumer<LoggingContext>,
    topic: &str,
    partition: i32,
    next: Option<i64>,
) -> Result<i64, KafkaError> {
    let (first, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
    Ok((end - next.unwrap_or(first).max(first)).max(0))
}
