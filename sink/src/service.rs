//! Session after session.

use anyhow::anyhow;
use platform::{
    database::DatabaseUrl,
    http::health::ComponentHealth,
    kafka::{client::KafkaClientConfig, sessions::run_sessions},
    lifecycle::Shutdown,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    SinkConfig,
    batch::Limits,
    decode::Decoder,
    fault::SessionError,
    session::{Session, Settings},
    store::{Store, StoreError},
};

/// Runs the sink until `shutdown` is triggered and what it holds is written.
///
/// Faults of the database, Kafka or the registry are retried for ever and told to `health`.
///
/// # Errors
/// When an address in the settings is none, or the sink's thread panicked.
pub async fn run(
    config: SinkConfig,
    health: ComponentHealth,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let service = Service::new(&config, health.clone())?;
    let mut limits = service.limits;
    run_sessions("sink", health, shutdown, move |shutdown| {
        let outcome = service.session(limits, shutdown);
        if let Err(SessionError::Store(StoreError::TooLong)) = &outcome {
            // The same again would end the same way, for ever.
            limits = limits.halved();
            tracing::warn!(?limits, "batches are made smaller");
        }
        outcome
    })
    .await
}

struct Service {
    settings: Settings,
    limits: Limits,
    database: DatabaseUrl,
    password: Option<SecretString>,
}

impl Service {
    fn new(config: &SinkConfig, health: ComponentHealth) -> anyhow::Result<Self> {
        let decoder =
            Decoder::connect(config).map_err(|fault| anyhow!("SCHEMA_REGISTRY_URL: {fault}"))?;
        Ok(Self {
            settings: Settings {
                runtime: decoder.runtime.clone(),
                client: KafkaClientConfig::from(&config.kafka),
                group: config.group(),
                topics: decoder.topics.clone(),
                windows: config.windows.clone(),
                refusal_limit: config.refusal_limit,
                decoder,
                health,
            },
            limits: Limits::new(config.batch_records),
            database: DatabaseUrl::parse(config.database.url.expose_secret())?,
            password: config.database.sink_password.clone(),
        })
    }

    fn session(&self, limits: Limits, shutdown: &Shutdown) -> Result<(), SessionError> {
        let runtime = &self.settings.runtime;
        let group = self.settings.group.clone();
        let open = Store::open(&self.database, self.password.as_ref(), group);
        let store = runtime.block_on(open)?;
        let outcome = Session::join(&self.settings, limits, store.clone(), shutdown)
            .and_then(|session| session.run(shutdown));
        runtime.block_on(store.close());
        outcome
    }
}
