//! Records that somebody else puts on the topics: sound ones, and poison.

use std::time::Duration;

use platform::test_support::kafka;
use rand::RngExt;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::codec::{encode_event, event_schema};
use schemas::event::{JsonDefaults, ValidationContext};
use schemas::{EventKind, Timestamp};
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::events::{Event, Stream};
use super::ledger::{Ledger, Outcome, Poison};
use crate::pipeline::Pipeline;

/// Puts records on the topics, past the gateway and past the proxies.
pub(crate) struct Direct {
    producer: FutureProducer,
    topics: [String; 4],
    schema_ids: [i32; 4],
}

impl Direct {
    pub(crate) async fn new(pipeline: &Pipeline) -> Self {
        let producer = kafka()
            .base()
            .set("enable.idempotence", "true")
            .set("delivery.timeout.ms", "30000")
            // Where the gateway puts the same key.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "zstd")
            .set("message.max.bytes", (64 << 20).to_string())
            .create()
            .unwrap();
        let topics = EventKind::ALL.map(|kind| pipeline.topics.events(kind));
        let mut schema_ids = [0; 4];
        for kind in EventKind::ALL {
            let topic = &topics[kind as usize];
            let registered =
                platform::kafka::provision::register(&pipeline.registry, topic, event_schema(kind));
            schema_ids[kind as usize] = registered.await.unwrap();
        }
        Self {
            producer,
            topics,
            schema_ids,
        }
    }

    /// The key and the value of a sound event.
    fn record(&self, event: &Event) -> (String, Vec<u8>) {
        let now = Timestamp::try_from(chrono::Utc::now()).unwrap();
        let defaults = JsonDefaults {
            organization_id: event.organization,
            event_id: event.id,
            timestamp: now,
        };
        let context = ValidationContext {
            record_time: now,
            retention_seconds: 90 * 86_400,
        };
        let raw = to_raw_value(&event.body).unwrap();
        let read = schemas::Event::from_json(event.kind, &raw, &defaults, &context).unwrap();
        let value = self.framed(event.kind, &encode_event(&read).unwrap());
        (read.key(), value)
    }

    fn framed(&self, kind: EventKind, avro: &[u8]) -> Vec<u8> {
        platform::kafka::registry::frame(self.schema_ids[kind as usize], avro)
    }

    /// Produces a sound event.
    pub(crate) async fn send(&self, event: &Event, ledger: &Ledger) {
        let (key, value) = self.record(event);
        ledger.sending(event.key());
        let topic = &self.topics[event.kind as usize];
        let record = FutureRecord::to(topic).key(&key).payload(&value);
        // An error says nothing: the broker may have it.
        let sent = self.producer.send(record, Duration::from_secs(60)).await;
        let outcome = match sent {
            Ok(_) => Outcome::Accepted,
            Err(_) => Outcome::Unknown,
        };
        ledger.answered(event.key(), outcome);
    }

    /// Produces a record that does not count, of some kind and reason.
    pub(crate) async fn poison(&self, stream: &mut Stream, organization: Uuid, ledger: &Ledger) {
        let event = loop {
            let event = stream.event(organization);
            if event.sound {
                break event;
            }
        };
        let (key, value) = self.record(&event);
        let key = Some(key.into_bytes());
        let unregistered = [&[0], &2_000_000_007_i32.to_be_bytes()[..], &value[5..]].concat();
        let (key, value, reason) = match stream.random.random_range(0..8) {
            0 => (key, Some(b"no frame at all".to_vec()), "bad_framing"),
            1 => (None, Some(Vec::new()), "bad_framing"),
            2 => (key, Some(unregistered), "unknown_schema"),
            3 => (key, Some(value[..value.len() - 9].to_vec()), "undecodable"),
            4 => (key, None, "no_value"),
            5 => (Some(b"somebody:else".to_vec()), Some(value), "wrong_key"),
            6 => (None, Some(value), "wrong_key"),
            _ => {
                let mut zeros = self.framed(event.kind, &[]);
                zeros.extend_from_slice(&vec![0x80; 4096]);
                (key, Some(zeros), "undecodable")
            }
        };
        let poison = Poison {
            topic: self.topics[event.kind as usize].clone(),
            key,
            value,
            headers: vec![
                ("theirs".to_owned(), Some(b"\x00\xff kept".to_vec())),
                ("empty".to_owned(), Some(Vec::new())),
                ("none".to_owned(), None),
                ("theirs".to_owned(), Some(b"twice".to_vec())),
            ],
            reason,
            place: None,
        };
        self.put(stream.id(), poison, ledger).await;
    }

    /// Produces a record as it is.
    pub(crate) async fn put(&self, id: Uuid, mut poison: Poison, ledger: &Ledger) {
        let name = Poison::ID.to_owned();
        let id_text = id.to_string().into_bytes();
        poison.headers.push((name, Some(id_text)));
        let mut headers = OwnedHeaders::new();
        for (key, value) in &poison.headers {
            let value = value.as_deref();
            headers = headers.insert(Header { key, value });
        }
        ledger.poisoning(id, poison.clone());
        let mut record = FutureRecord::<[u8], [u8]>::to(&poison.topic).headers(headers);
        record.key = poison.key.as_deref();
        record.payload = poison.value.as_deref();
        let sent = self.producer.send(record, Duration::from_secs(60)).await;
        if let Ok(delivery) = sent {
            ledger.poisoned(id, (delivery.partition, delivery.offset));
        }
    }
}
