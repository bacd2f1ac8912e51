//! A topic of admitted events.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use platform::{
    config::Env,
    kafka::{
        producer::{EnqueueError, EventProducer, ProducerSettings},
        provision::{TopicDefaults, provision, register},
        registry::{RegistryClient, frame},
    },
    test_support::{TestDatabase, TestTopics, kafka, required_env},
};
use schemas::{
    Event, EventKind, Source, Timestamp, Topics,
    codec::{encode_event, event_schema},
    event::{AgentInteraction, CommandExecution, Status},
    free_object::FreeObject,
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);
/// Of admitted events, as a small installation has.
const PARTITIONS: i32 = 12;

/// Topics of the benchmark's own, which go with this value.
pub(crate) struct Log {
    names: TestTopics,
    pub(crate) events: i64,
    runs: AtomicU32,
}

impl Log {
    /// Writes `count` events: of ten organizations with twenty users each, in the last ten
    /// minutes, half of them commands and half agents.
    pub(crate) async fn write(count: usize) -> Self {
        let names = TestTopics::new();
        let topics = Topics::new(names.prefix());
        let registry = RegistryClient::new(&required_env("SCHEMA_REGISTRY_URL"), PATIENCE)
            .expect("the registry's address is one");
        let defaults = TopicDefaults {
            partitions: PARTITIONS,
            replication: -1,
            retention: Duration::from_secs(86_400),
            dead_letter_retention: Duration::from_secs(86_400),
        };
        let provisioned = provision(&kafka(), &registry, &topics, &defaults).await;
        provisioned.expect("topics are made");
        let mut ids = Vec::new();
        for kind in EventKind::ALL {
            let id = register(&registry, &topics.events(kind), event_schema(kind)).await;
            ids.push((kind, id.expect("schemas are registered")));
        }
        let settings = ProducerSettings {
            delivery_timeout: PATIENCE,
            ..ProducerSettings::default()
        };
        let producer = EventProducer::new(&kafka(), &settings).expect("a producer is made");
        let mut deliveries = Vec::with_capacity(count);
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("the clock is right");
        let now = i64::try_from(since.as_millis()).expect("the clock is right");
        for n in 0..count {
            let event = event(n, now);
            let kind = event.kind();
            let id = ids.iter().find(|(k, _)| *k == kind).expect("all are there");
            let value = frame(id.1, &encode_event(&event).expect("it fits its schema"));
            let source = Source {
                kind,
                partition: 0,
                offset: i64::try_from(n).expect("few"),
                log_time: Timestamp::from_millis(now).expect("within the range"),
            };
            let (key, source) = (event.key(), source.to_string());
            let headers = [(Source::HEADER, source.as_bytes())];
            let delivery = loop {
                match producer.enqueue(&topics.admitted(), key.as_bytes(), &value, &headers) {
                    Err(EnqueueError::QueueFull) => tokio::task::yield_now().await,
                    other => break other.expect("it is queued"),
                }
            };
            deliveries.push(delivery);
        }
        for delivery in deliveries {
            delivery.await.expect("the broker takes it");
        }
        Self {
            names,
            events: i64::try_from(count).expect("few"),
            runs: AtomicU32::new(0),
        }
    }

    /// The settings of a sink that begins at the log's beginning.
    pub(crate) fn env(&self, database: &TestDatabase) -> Env {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        Env::from_pairs([
            ("KAFKA_BROKERS", required_env("KAFKA_BROKERS").as_str()),
            (
                "SCHEMA_REGISTRY_URL",
                required_env("SCHEMA_REGISTRY_URL").as_str(),
            ),
            ("KAFKA_TOPIC_PREFIX", self.names.prefix()),
            (
                "KAFKA_GROUP_PREFIX",
                self.names.name(&format!("run-{run}")).as_str(),
            ),
            ("DATABASE_URL", database.url_text()),
        ])
    }
}

/// The `n`th event.
fn event(n: usize, now_ms: i64) -> Event {
    let number = u64::try_from(n).expect("few");
    // Without a pattern between what is drawn, and the same in every run.
    let draw = |salt: u64, of: u64| {
        let mixed = (number * 16 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) % of
    };
    let id = |space: u128, n: u64| Uuid::from_u128((space << 64) + u128::from(n) + 1);
    let user = draw(1, 200);
    let organization_id = id(2, user % 10);
    let ago = i64::try_from(draw(2, 600_000)).expect("few");
    let timestamp = Timestamp::from_millis(now_ms - ago).expect("within the range");
    let execution_time_ms = i64::try_from(draw(3, 30_000)).expect("few");
    let status = Status::ALL[usize::from(draw(4, 10) == 0)];
    let object = Some(FreeObject::unchecked(
        r#"{"branch":"main","files":[1,2,3],"cached":true}"#,
    ));
    if n.is_multiple_of(2) {
        return Event::CommandExecution(CommandExecution {
            event_id: id(1, number),
            organization_id,
            timestamp,
            user_id: id(3, user),
            team_id: Some(id(4, user % 40)),
            project_id: None,
            command_name: format!("command-{}", draw(5, 10)),
            execution_time_ms,
            status,
            command_args: object,
            error_message: None,
            context: None,
        });
    }
    Event::AgentInteraction(AgentInteraction {
        event_id: id(1, number),
        organization_id,
        timestamp,
        user_id: id(3, user),
        team_id: Some(id(4, user % 40)),
        project_id: None,
        agent_name: format!("agent-{}", draw(6, 5)),
        interaction_type: "chat".to_owned(),
        execution_time_ms,
        status,
        input_tokens: Some(i64::try_from(draw(7, 50_000)).expect("few")),
        output_tokens: Some(i64::try_from(draw(8, 2_000)).expect("few")),
        cost_usd: Some("0.065379".parse().expect("it is a decimal")),
        model: Some("medium".to_owned()),
        command_execution_id: None,
        error_message: None,
        metadata: object,
    })
}
