//! Workload W1 in Kafka, as the gateway puts it there.

use std::time::Duration;

use anyhow::Context as _;
use platform::{
    kafka::{
        provision::{TopicDefaults, provision, register},
        registry::{RegistryClient, frame},
        transactions::TransactionalProducer,
    },
    test_support::{TestTopics, kafka, required_env},
};
use schemas::{
    EventKind, Topics,
    codec::{encode_event, event_schema},
};

use crate::harness::Context;

/// Longer than filling takes, and the most that a broker allows by default.
const FILLING: Duration = Duration::from_secs(900);
const KEPT: Duration = Duration::from_secs(86_400);

/// All topics of the product under a prefix of their own; they are deleted with this value.
#[derive(Debug)]
pub(in crate::stages) struct Backlog {
    prefix: TestTopics,
    topics: Topics,
    /// The registry's id of the events' schema.
    schema: i32,
}

impl Backlog {
    /// Of no events yet.
    ///
    /// # Errors
    /// If Kafka or the registry does not answer.
    pub(in crate::stages) fn empty(partitions: i32) -> anyhow::Result<Self> {
        let prefix = TestTopics::new();
        let topics = Topics::new(prefix.prefix());
        let registry = RegistryClient::new(
            &required_env("SCHEMA_REGISTRY_URL"),
            Duration::from_secs(10),
        )
        .map_err(anyhow::Error::msg)?;
        let defaults = TopicDefaults {
            partitions,
            replication: -1,
            retention: KEPT,
            dead_letter_retention: KEPT,
        };
        let provisioned = async {
            provision(&kafka(), &registry, &topics, &defaults).await?;
            let kind = EventKind::CommandExecution;
            register(&registry, &topics.events(kind), event_schema(kind)).await
        };
        let schema = runtime()?.block_on(provisioned)?;
        Ok(Self {
            prefix,
            topics,
            schema,
        })
    }

    /// Appends the first `events` of the workload. In one transaction: who reads only what is
    /// committed sees nothing before all is there.
    ///
    /// # Errors
    /// If Kafka does not take them.
    pub(in crate::stages) fn fill(&self, context: &Context, events: u64) -> anyhow::Result<()> {
        let id = self.name("fill");
        let producer = TransactionalProducer::new(&kafka(), &id, FILLING)?;
        let mut workload = context.options.workload();
        let topic = self.input();
        producer.begin()?;
        for _ in 0..events {
            let draft = workload.draft();
            let event = workload.event(&draft);
            let avro = encode_event(&event).map_err(anyhow::Error::msg)?;
            let value = frame(self.schema, &avro);
            producer.send(&topic, Some(event.key().as_bytes()), Some(&value), &[])?;
        }
        producer.commit_records().context("the backlog")
    }

    /// A name under the prefix.
    pub(in crate::stages) fn name(&self, name: &str) -> String {
        self.prefix.name(name)
    }

    /// The product's topics under the prefix.
    pub(in crate::stages) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The topic of the events.
    pub(in crate::stages) fn input(&self) -> String {
        self.topics.events(EventKind::CommandExecution)
    }

    /// Makes a topic under the prefix.
    pub(super) fn create(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        runtime()?.block_on(self.prefix.create(name, partitions));
        Ok(())
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}
