//! `flowmeter serve`: everything in one process, on one port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aggregator::AggregatorConfig;
use ingest_gateway::{Gateway, GatewayConfig};
use platform::config::{Env, HttpConfig};
use platform::http::admin::{admin_router, keep_up};
use platform::http::health::Health;
use platform::http::{layers, server};
use platform::lifecycle::{Services, Shutdown};
use platform::telemetry::metrics;
use query_api::QueryConfig;
use sink::SinkConfig;

use crate::dead_letters::KafkaReplayer;
use crate::greeting;
use crate::jobs::JobsSettings;
use crate::reference::reference;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long services may take to end: the longest request, and a last batch.
pub(crate) const DRAIN_BOUND: Duration = Duration::from_secs(35);
/// How long events on their way to the broker are waited for, after that.
pub(crate) const FLUSH_BOUND: Duration = Duration::from_secs(3);

/// Settings of all services.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where to listen.
    pub http: HttpConfig,
    /// Of the gateway.
    pub gateway: GatewayConfig,
    /// Of the aggregator.
    pub aggregator: AggregatorConfig,
    /// Of the sink.
    pub sink: SinkConfig,
    /// Of the query API.
    pub query: QueryConfig,
    /// Of the jobs; `None` with `JOBS_ENABLED=false`, where others run them.
    pub jobs: Option<JobsSettings>,
    /// `FLOWMETER_GREETING`: whether to print a token and first steps.
    pub greeting: bool,
}

impl ServeConfig {
    /// Reads all sections.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            http: HttpConfig::from_env(env),
            gateway: GatewayConfig::from_env(env),
            aggregator: AggregatorConfig::from_env(env),
            sink: SinkConfig::from_env(env),
            query: QueryConfig::from_env(env),
            jobs: env
                .flag("JOBS_ENABLED", true)
                .then(|| JobsSettings::from_env(env)),
            greeting: env.flag("FLOWMETER_GREETING", false),
        }
    }
}

/// Runs until `shutdown`.
///
/// # Errors
/// Which service failed, and why.
pub async fn run(config: ServeConfig, shutdown: Shutdown) -> anyhow::Result<()> {
    let jwt = config.gateway.jwt.clone();
    let greeting = config.greeting;
    let serving = Serving::start(config, shutdown).await?;
    if greeting {
        greeting::print(serving.address, &jwt)?;
    }
    serving.until_shutdown().await
}

/// All services, started.
pub struct Serving {
    /// Where they answer.
    pub address: SocketAddr,
    services: Services,
    gateway: Gateway,
    shutdown: Shutdown,
}

impl Serving {
    /// Starts all services; they answer when this returns.
    ///
    /// # Errors
    /// What could not be started, and why.
    pub async fn start(config: ServeConfig, shutdown: Shutdown) -> anyhow::Result<Self> {
        let health = Health::new("flowmeter", VERSION);
        let metrics = metrics::install()?;
        let listener = server::bind(&config.http).await?;
        let address = listener.local_addr()?;
        let gateway = Gateway::start(&config.gateway, &health).await?;
        let query = query_api::start(
            &config.query,
            Some(Arc::new(KafkaReplayer::new(config.gateway.kafka.clone()))),
            &health,
            shutdown.clone(),
        )
        .await?;
        let routers = [
            ("gateway", gateway.router()),
            ("query", query.merge(reference())),
            ("admin", admin_router(&health, metrics.clone())),
        ];
        let router = layers::combined("flowmeter", routers, &config.http);

        let mut services = Services::new();
        let aggregator = health.component("aggregator");
        services.spawn(
            "aggregator",
            aggregator::run(config.aggregator, aggregator, shutdown.clone()),
        );
        let sink = health.component("sink");
        services.spawn("sink", sink::run(config.sink, sink, shutdown.clone()));
        if let Some(settings) = config.jobs {
            let health = health.component("jobs");
            let all = settings.all()?;
            services.spawn(
                "jobs",
                ::jobs::run(settings.jobs, all, health, shutdown.clone()),
            );
        }
        services.spawn(
            "http",
            server::serve(listener, router, config.http, shutdown.clone()),
        );
        let upkeep = shutdown.child();
        services.spawn("upkeep", async move {
            keep_up(metrics, upkeep).await;
            Ok(())
        });
        Ok(Self {
            address,
            services,
            gateway,
            shutdown,
        })
    }

    /// Waits for the shutdown, then for everything to drain.
    ///
    /// # Errors
    /// Which service failed, and why.
    pub async fn until_shutdown(self) -> anyhow::Result<()> {
        let result = self
            .services
            .run_until_shutdown(self.shutdown, DRAIN_BOUND)
            .await;
        self.gateway.drain(FLUSH_BOUND).await;
        result
    }
}
