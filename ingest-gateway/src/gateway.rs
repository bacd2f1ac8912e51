//! The gateway as a whole.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use axum::{Router, extract::FromRef};
use platform::{
    auth::Verifier,
    http::{
        budget::Budget,
        health::{CheckDetail, Health},
        overload,
    },
    kafka::{
        client::KafkaClientConfig,
        producer::{EventProducer, ProducerSettings},
        registry::RegistryClient,
    },
    rate_limit::RateLimiter,
};
use schemas::{EventKind, Topics};

use crate::{
    GatewayConfig,
    idempotency::UsedKeys,
    publish::Publisher,
    receipts::{Book, Receipts, WaitLimits},
    registration::schema_ids,
    routes::routes,
};

const REGISTRY_PATIENCE: Duration = Duration::from_secs(30);
/// Below the bound of a health check, so that the answer is the broker's and not a timeout.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(1500);

/// The ingest gateway: its routes, and the producer behind them.
pub struct Gateway {
    state: GatewayState,
    budget: Arc<Budget>,
    body_timeout: Duration,
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct GatewayState(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    verifier: Arc<Verifier>,
    pub(crate) limiter: RateLimiter,
    pub(crate) publisher: Publisher,
    pub(crate) receipts: Receipts,
    pub(crate) schema_ids: [i32; 4],
    pub(crate) max_batch_size: usize,
    pub(crate) retention_seconds: i64,
}

impl FromRef<GatewayState> for Arc<Verifier> {
    fn from_ref(state: &GatewayState) -> Self {
        Self::clone(&state.0.verifier)
    }
}

impl FromRef<GatewayState> for WaitLimits {
    fn from_ref(state: &GatewayState) -> Self {
        state.0.receipts.limits
    }
}

impl Gateway {
    /// Registers the events' schemas, makes the producer, and adds the check `kafka` to
    /// `health`. The topics exist before. A broker that is away is no failure: requests
    /// are then answered with 503. Nor is a database: it is connected to behind.
    ///
    /// # Errors
    /// When the schema registry stays away for half a minute or refuses a schema, or the
    /// client library refuses a setting, or the database's address cannot be read.
    pub async fn start(config: &GatewayConfig, health: &Health) -> anyhow::Result<Self> {
        let topics = Topics::new(&config.kafka.topic_prefix);
        let registry = RegistryClient::connect(&config.kafka)
            .map_err(|fault| anyhow!("SCHEMA_REGISTRY_URL {fault}"))?;
        let schema_ids = schema_ids(&registry, &topics, REGISTRY_PATIENCE).await?;
        let producer = Arc::new(producer(config)?);
        check_kafka(health, &producer);
        let verifier = Arc::new(Verifier::start(&config.jwt)?);
        verifier.watch(health);
        let book = Arc::new(Book::new(config.receipts_kept));
        let receipts = Receipts::start(
            Arc::clone(&book),
            config.wait_limits(),
            &topics,
            config.database.as_ref(),
            config.intake.max_requests.div_ceil(2),
        )?;
        let shared = Shared {
            verifier,
            limiter: RateLimiter::start(&config.rate_limits)?,
            publisher: Publisher {
                producer,
                topics: EventKind::ALL.map(|kind| topics.events(kind)),
                keys: UsedKeys::new(config.idempotency_keys_kept),
                book,
            },
            receipts,
            schema_ids,
            max_batch_size: config.max_batch_size,
            retention_seconds: i64::try_from(config.retention.as_secs()).unwrap_or(i64::MAX),
        };
        Ok(Self {
            state: GatewayState(Arc::new(shared)),
            budget: overload::budget(&config.intake),
            body_timeout: config.intake.body_timeout,
        })
    }

    /// The routes, with their state and limits; for `platform::http::layers` to surround.
    pub fn router(&self) -> Router {
        routes(self.body_timeout, &self.budget).with_state(self.state.clone())
    }

    /// Waits until everything published has its answer. `false`: not all within `bound`.
    pub async fn drain(&self, bound: Duration) -> bool {
        self.state.0.publisher.producer.flush(bound).await
    }
}

fn producer(config: &GatewayConfig) -> anyhow::Result<EventProducer> {
    let client = KafkaClientConfig::from(&config.kafka);
    let settings = ProducerSettings {
        delivery_timeout: config.publish_timeout,
        ..ProducerSettings::default()
    };
    EventProducer::new(&client, &settings).context("the Kafka client refuses its configuration")
}

/// A broken producer is no reason to be down: the next record replaces it, and a service
/// that is down gets no next record.
fn check_kafka(health: &Health, producer: &Arc<EventProducer>) {
    let producer = Arc::clone(producer);
    health.check("kafka", move || {
        let producer = Arc::clone(&producer);
        async move {
            if producer.healthy(HEALTH_TIMEOUT).await {
                Ok(CheckDetail::none())
            } else {
                Err("no broker answers".to_owned())
            }
        }
    });
}
