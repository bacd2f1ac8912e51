//! Producers that are not ours: a plain Kafka client with a schema of its own.

use platform::auth::Role;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::{EventKind, Topics};
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

/// Writes Avro by hand, as a library in another language would.
#[derive(Default)]
pub(crate) struct Avro(pub(crate) Vec<u8>);

impl Avro {
    pub(crate) fn long(mut self, number: i64) -> Self {
        let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
        while zigzag >= 0x80 {
            self.0.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        self.0.push(zigzag as u8);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        let mut after = self.long(text.len() as i64);
        after.0.extend_from_slice(text.as_bytes());
        after
    }

    /// With the Confluent prefix before it.
    pub(crate) fn framed(self, schema_id: i32) -> Vec<u8> {
        let mut framed = vec![0];
        framed.extend_from_slice(&schema_id.to_be_bytes());
        framed.extend_from_slice(&self.0);
        framed
    }
}

/// Fewer fields than ours, in another order, and plain strings for ids.
const THEIR_SCHEMA: &str = r#"{"type": "record", "name": "CommandExecution", "namespace": "flowmeter.metrics", "fields": [
    {"name": "command_name", "type": "string"},
    {"name": "execution_time_ms", "type": "long"},
    {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["success", "error", "timeout", "cancelled"]}},
    {"name": "event_id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "organization_id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "user_id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}"#;

/// A foreign producer and the id of its schema.
pub(crate) struct Foreign {
    producer: FutureProducer,
    pub(crate) topic: String,
    pub(crate) schema_id: i32,
}

impl Foreign {
    pub(crate) async fn new(pipeline: &Pipeline) -> Self {
        let topic = pipeline.topics.events(EventKind::CommandExecution);
        let producer = ClientConfig::new()
            .set("bootstrap.servers", platform::test_support::kafka().brokers)
            .create()
            .unwrap();
        let subject = Topics::subject(&topic);
        let schema_id = pipeline
            .registry
            .register(&subject, THEIR_SCHEMA)
            .await
            .unwrap();
        Self {
            producer,
            topic,
            schema_id,
        }
    }

    /// A command of `user` that took `time` milliseconds.
    pub(crate) fn command(&self, organization: Uuid, user: Uuid, time: i64) -> Vec<u8> {
        self.command_at(organization, user, time, chrono::Utc::now())
    }

    /// One that was run at some other time.
    pub(crate) fn command_at(
        &self,
        organization: Uuid,
        user: Uuid,
        time: i64,
        at: chrono::DateTime<chrono::Utc>,
    ) -> Vec<u8> {
        Avro::default()
            .text("foreign")
            .long(time)
            .long(0)
            .text(&Uuid::now_v7().to_string())
            .text(&organization.to_string())
            .text(&user.to_string())
            .long(at.timestamp_micros())
            .framed(self.schema_id)
    }

    /// Puts a record on the topic; gives its partition and offset.
    pub(crate) async fn send(&self, key: Option<&str>, value: &[u8]) -> (i32, i64) {
        self.send_as(key, value, None).await
    }

    /// The same, as a program that names itself.
    pub(crate) async fn send_as(
        &self,
        key: Option<&str>,
        value: &[u8],
        client: Option<&str>,
    ) -> (i32, i64) {
        let mut headers = OwnedHeaders::new().insert(Header {
            key: "theirs",
            value: Some("kept"),
        });
        if let Some(client) = client {
            headers = headers.insert(Header {
                key: schemas::client::HEADER,
                value: Some(client),
            });
        }
        let mut record = FutureRecord::to(&self.topic)
            .payload(value)
            .headers(headers);
        record.key = key;
        let delivery = self.producer.send(record, None).await.unwrap();
        (delivery.partition, delivery.offset)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_record_is_counted() {
    let mut pipeline = Pipeline::start().await;
    let foreign = Foreign::new(&pipeline).await;
    let (organization, user) = (Uuid::new_v4(), Uuid::new_v4());
    let record = foreign.command(organization, user, 42);
    foreign
        .send(Some(&format!("{organization}:{user}")), &record)
        .await;

    let client = Client::of(&pipeline, organization, Role::Viewer);
    let row = eventually("the foreign record is counted", || async {
        client
            .aggregated("group_by=command&aggregation_window=1d")
            .await
            .into_iter()
            .next()
    })
    .await;
    assert_eq!(row["command_name"], "foreign");
    assert_eq!(row["commands"]["count"], 1);
    assert_eq!(row["commands"]["execution_time_ms"]["p50"], json!(42.0));
    pipeline.stop().await;
}
