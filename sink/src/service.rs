//! Session after session.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use metrics::counter;
use platform::{
    database::DatabaseUrl,
    http::health::ComponentHealth,
    kafka::{admission::Admission, client::KafkaClientConfig, registry::RegistryClient},
    lifecycle::Shutdown,
    telemetry::names,
};
use schemas::Topics;
use secrecy::{ExposeSecret, SecretString};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    SinkConfig,
    batch::Limits,
    decode::Decoder,
    session::{Session, SessionError, Settings},
    store::{Store, StoreError},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Of one question to the registry.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

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
    let service = Service::new(&config, health)?;
    // The thread ends when this future is dropped, too.
    let shutdown = shutdown.child();
    let _ends = TriggerOnDrop(shutdown.clone());
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name("sink".to_owned())
        .spawn(move || {
            service.run(&shutdown);
            let _ = ended.send(());
        })
        .context("the sink's thread cannot be started")?;
    end.await.map_err(|_| anyhow!("the sink's thread panicked"))
}

struct TriggerOnDrop(Shutdown);

impl Drop for TriggerOnDrop {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

struct Service {
    settings: Settings,
    limits: Limits,
    database: DatabaseUrl,
    password: Option<SecretString>,
}

impl Service {
    fn new(config: &SinkConfig, health: ComponentHealth) -> anyhow::Result<Self> {
        let registry =
            RegistryClient::new(config.kafka.registry_url.expose_secret(), REGISTRY_TIMEOUT)
                .map_err(|fault| anyhow!("SCHEMA_REGISTRY_URL: {fault}"))?;
        let topics = Topics::new(config.kafka.topic_prefix.as_str());
        let runtime = Handle::current();
        Ok(Self {
            settings: Settings {
                runtime: runtime.clone(),
                client: KafkaClientConfig::from(&config.kafka),
                group: config.group(),
                topics: topics.clone(),
                windows: config.windows.clone(),
                decoder: Decoder {
                    admission: Admission::new(registry, config.retention()),
                    runtime,
                    topics,
                },
                health,
            },
            limits: Limits::new(config.batch_records),
            database: DatabaseUrl::parse(config.database.url.expose_secret())?,
            password: config.database.sink_password.clone(),
        })
    }

    fn run(&self, shutdown: &Shutdown) {
        let mut pause = FIRST_PAUSE;
        let mut limits = self.limits;
        while !shutdown.is_triggered() {
            let began = Instant::now();
            let outcome = self.session(limits, shutdown);
            let label = outcome
                .as_ref()
                .map_or_else(SessionError::outcome, |()| "ended");
            counter!(names::CONSUMER_SESSIONS, "service" => "sink", "outcome" => label)
                .increment(1);
            let Err(error) = outcome else {
                tracing::info!("the sink has written what it held");
                return;
            };
            self.settings.health.down(error.reason());
            if let SessionError::Store(StoreError::TooLong) = error {
                // The same again would end the same way, for ever.
                limits = limits.halved();
                tracing::warn!(?limits, "batches are made smaller");
            }
            // One that worked for a while has shown that waiting longer is no use.
            if began.elapsed() > LONGEST_PAUSE * 2 {
                pause = FIRST_PAUSE;
            }
            tracing::error!(%error, ?pause, "the sink begins anew from its cursors");
            self.settings.runtime.block_on(async {
                let _ = tokio::time::timeout(pause, shutdown.triggered()).await;
            });
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn session(&self, limits: Limits, shutdown: &Shutdown) -> Result<(), SessionError> {
        let runtime = &self.settings.runtime;
        let group = self.settings.group.clone();
        let open = Store::open(&self.database, self.password.as_ref(), group);
        let store = runtime.block_on(open)?;
        let outcome = Session::join(&self.settings, limits, store.clone())
            .and_then(|session| session.run(shutdown));
        runtime.block_on(store.close());
        outcome
    }
}
