//! A gateway on the real Kafka and registry, with topics of its own.

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request},
};
use platform::{
    auth::{Identity, Role, issue},
    config::{Env, HttpConfig},
    http::{health::Health, layers},
    kafka::registry::{RegistryClient, SchemaRef, split},
    test_support::{TestTopics, kafka, required_env},
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use schemas::{
    Event, EventKind, Timestamp, Topics,
    codec::{WriterSchema, decode_event},
};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::{Gateway, GatewayConfig};

pub(super) const ORGANIZATION: Uuid = Uuid::from_u128(0xA);
pub(super) const ME: Uuid = Uuid::from_u128(1);
pub(super) const OTHER: Uuid = Uuid::from_u128(2);
pub(super) const TEAM: Uuid = Uuid::from_u128(10);
const PARTITIONS: i32 = 2;
const BOUND: Duration = Duration::from_secs(30);

pub(super) struct Harness {
    pub(super) gateway: Gateway,
    pub(super) health: Health,
    config: GatewayConfig,
    app: Router,
    pub(super) topics: TestTopics,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// `(status, code)` of each result.
    pub(super) fn results(&self) -> Vec<(&str, &str)> {
        let results = self.body["results"].as_array().unwrap();
        results
            .iter()
            .map(|r| {
                (
                    r["status"].as_str().unwrap(),
                    r["code"].as_str().unwrap_or_default(),
                )
            })
            .collect()
    }

    /// `(pointer, code)` of each fault, sorted.
    pub(super) fn faults(&self) -> Vec<(&str, &str)> {
        let mut faults: Vec<_> = self.body["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
            .collect();
        faults.sort_unstable();
        faults
    }

    pub(super) fn ids(&self) -> Vec<Uuid> {
        let results = self.body["results"].as_array().unwrap();
        results.iter().map(|r| id(&r["event_id"])).collect()
    }
}

pub(super) fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}

/// A record read back.
#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) key: String,
    pub(super) event: Event,
    /// Partition and offset.
    pub(super) place: (i32, i64),
    /// Which program it says it comes from.
    pub(super) client: Option<String>,
}

impl Harness {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(super) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let harness = Self::with(settings).await;
        for kind in EventKind::ALL {
            let name = format!("metrics.{}", kind.topic());
            harness.topics.create(&name, PARTITIONS).await;
        }
        harness
    }

    /// Without topics.
    pub(super) async fn with(settings: &[(&str, &str)]) -> Self {
        let topics = TestTopics::new();
        let (brokers, registry) = (
            required_env("KAFKA_BROKERS"),
            required_env("SCHEMA_REGISTRY_URL"),
        );
        let pairs = [
            ("KAFKA_BROKERS", brokers.as_str()),
            ("SCHEMA_REGISTRY_URL", &registry),
            ("KAFKA_TOPIC_PREFIX", topics.prefix()),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ];
        let mut env = Env::from_pairs(pairs.iter().chain(settings).copied());
        let config = GatewayConfig::from_env(&mut env);
        let http = HttpConfig::from_env(&mut env);
        env.finish().unwrap();
        let health = Health::new("ingest-gateway", "test");
        let gateway = Gateway::start(&config, &health).await.unwrap();
        Self {
            app: layers::standard(gateway.router(), "ingest-gateway", &http),
            gateway,
            health,
            config,
            topics,
        }
    }

    pub(super) fn token(&self, role: Role) -> String {
        self.token_of(ORGANIZATION, ME, role)
    }

    fn token_of(&self, organization_id: Uuid, user_id: Uuid, role: Role) -> String {
        let identity = Identity {
            user_id,
            organization_id,
            role,
            team_ids: Some(vec![TEAM]),
        };
        issue(&self.config.jwt, &identity, Duration::from_secs(60)).unwrap()
    }

    /// Asks where an event is, as somebody.
    pub(super) async fn event(
        &self,
        (organization, user, role): (Uuid, Uuid, Role),
        id: impl std::fmt::Display,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token_of(organization, user, role));
        let request = Request::get(format!("/api/metrics/events/{id}"))
            .header("authorization", bearer)
            .body(Body::empty());
        self.answer(request.unwrap()).await
    }

    /// A post by a developer.
    pub(super) async fn post(&self, call: &str, body: &Value) -> Answer {
        self.post_as(Role::Developer, call, &[], body).await
    }

    pub(super) async fn post_as(
        &self,
        role: Role,
        call: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token(role));
        let standard = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let headers: Vec<_> = standard.iter().chain(headers).copied().collect();
        self.send(call, &headers, body.to_string()).await
    }

    /// A call by a developer, with headers besides the token.
    pub(super) async fn call(
        &self,
        method: Method,
        call: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token(Role::Developer));
        let token = [("authorization", bearer.as_str())];
        let headers: Vec<_> = token.iter().chain(headers).copied().collect();
        self.request(method, call, &headers, body).await
    }

    /// An update of a session by a developer.
    pub(super) async fn put_session(&self, id: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        let call = format!("sessions/{id}");
        self.call(Method::PUT, &call, &json, body.to_string()).await
    }

    pub(super) async fn send(
        &self,
        call: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.request(Method::POST, call, headers, body).await
    }

    pub(super) async fn request(
        &self,
        method: Method,
        call: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let uri = format!("/api/metrics/{call}");
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request.body(body.into()).unwrap()).await
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 16 << 20).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    /// Every record of a kind's topic as it is now, a user's in their order.
    pub(super) async fn stored(&self, kind: EventKind) -> Vec<Stored> {
        let topic = Topics::new(self.topics.prefix()).events(kind);
        let records = tokio::task::spawn_blocking(move || read_all(&topic))
            .await
            .unwrap();
        let url = required_env("SCHEMA_REGISTRY_URL");
        let registry = RegistryClient::new(&url, Duration::from_secs(5)).unwrap();
        let mut stored = Vec::new();
        for (key, payload, place, client) in records {
            let (SchemaRef::Id(id), avro) = split(&payload, None).unwrap() else {
                panic!("not framed with an id");
            };
            let schema = registry.schema_by_id(id).await.unwrap();
            let writer = WriterSchema::parse(&schema).unwrap();
            let event = decode_event(kind, &writer, avro).unwrap();
            stored.push(Stored {
                key,
                event,
                place,
                client,
            });
        }
        stored
    }
}

type ReadBack = (String, Vec<u8>, (i32, i64), Option<String>);

fn read_all(topic: &str) -> Vec<ReadBack> {
    let consumer: BaseConsumer = kafka()
        .base()
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut expected = 0;
    for partition in 0..PARTITIONS {
        let offset = Offset::Beginning;
        assignment
            .add_partition_offset(topic, partition, offset)
            .unwrap();
        let (low, high) = consumer.fetch_watermarks(topic, partition, BOUND).unwrap();
        expected += usize::try_from(high - low).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let began = Instant::now();
    let mut records = Vec::new();
    while records.len() < expected {
        assert!(
            began.elapsed() < BOUND,
            "{} of {expected} records",
            records.len()
        );
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            let record = record.unwrap();
            let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
            let place = (record.partition(), record.offset());
            let mut headers = record.headers().into_iter().flat_map(Headers::iter);
            let client = headers
                .find(|header| header.key == schemas::client::HEADER)
                .map(|header| String::from_utf8(header.value.unwrap().to_vec()).unwrap());
            records.push((key, record.payload().unwrap().to_vec(), place, client));
        }
    }
    records
}

pub(super) fn now_as_text(ahead: chrono::TimeDelta) -> String {
    let at = Timestamp::try_from(chrono::Utc::now() + ahead).unwrap();
    at.to_string()
}

/// A sound command execution of mine, with `more` fields.
pub(super) fn command(more: Value) -> Value {
    let event = json!({
        "user_id": ME, "command_name": "build", "execution_time_ms": 1200, "status": "success",
    });
    with(event, more)
}

/// A sound event of each kind, of mine, in their lists.
pub(super) fn one_of_each() -> Value {
    json!({
        "command_executions": [command(json!({}))],
        "agent_interactions": [{
            "user_id": ME, "agent_name": "reviewer", "interaction_type": "review",
            "execution_time_ms": 5, "status": "error", "cost_usd": "0.25",
        }],
        "productivity_metrics": [
            {"user_id": ME, "metric_type": "error_rate", "metric_value": 0.5},
        ],
        "user_sessions": [{"user_id": ME, "session_id": "s-1", "kind": "started"}],
    })
}

pub(super) fn with(mut object: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("not an object");
    };
    object.as_object_mut().unwrap().extend(more);
    object
}
