//! The gateway as a whole.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use axum::{Router, extract::FromRef};
use platform::{
    auth::Verifier,
    http::health::{CheckDetail, Health},
    kafka::{
        client::KafkaClientConfig,
        producer::{EventProducer, ProducerSettings},
        registry::RegistryClient,
    },
};
use schemas::{EventKind, Topics};

use crate::{GatewayConfig, publish::Publisher, registration::schema_ids, routes::routes};

const REGISTRY_PATIENCE: Duration = Duration::from_secs(30);
/// Below the bound of a health check, so that the answer is the broker's and not a timeout.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(1500);

/// The ingest gateway: its routes, and the producer behind them.
pub struct Gateway {
    state: GatewayState,
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct GatewayState(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    verifier: Arc<Verifier>,
    pub(crate) publisher: Publisher,
    pub(crate) schema_ids: [i32; 4],
    pub(crate) max_batch_size: usize,
    pub(crate) retention_seconds: i64,
}

impl FromRef<GatewayState> for Arc<Verifier> {
    fn from_ref(state: &GatewayState) -> Self {
        Self::clone(&state.0.verifier)
    }
}

impl Gateway {
    /// Registers the events' schemas, makes the producer, and adds the check `kafka` to
    /// `health`. The topics exist before. A broker that is away is no failure: requests
    /// are then answered with 503.
    ///
    /// # Errors
    /// When the schema registry stays away for half a minute or refuses a schema, or the
    /// client library refuses a setting.
    pub async fn start(config: &GatewayConfig, health: &Health) -> anyhow::Result<Self> {
        let topics = Topics::new(&config.kafka.topic_prefix);
        let registry = RegistryClient::connect(&config.kafka)
            .map_err(|fault| anyhow!("SCHEMA_REGISTRY_URL {fault}"))?;
        let schema_ids = schema_ids(&registry, &topics, REGISTRY_PATIENCE).await?;
        let producer = Arc::new(producer(config)?);
        check_kafka(health, &producer);
        let shared = Shared {
            verifier: Arc::new(Verifier::new(&config.jwt)),
            publisher: Publisher {
                producer,
                topics: EventKind::ALL.map(|kind| topics.events(kind)),
            },
            schema_ids,
            max_batch_size: config.max_batch_size,
            retention_seconds: i64::try_from(config.retention.as_secs()).unwrap_or(i64::MAX),
        };
        Ok(Self {
            state: GatewayState(Arc::new(shared)),
        })
    }

    /// The routes, with their state and limits; for `platform::http::layers` to surround.
    pub fn router(&self) -> Router {
        routes().with_state(self.state.clone())
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
