//! Each service as a process of its own, with a port for operators.

use std::sync::Arc;

use aggregator::AggregatorConfig;
use axum::Router;
use ingest_gateway::{Gateway, GatewayConfig};
use platform::config::{AdminConfig, Env, HttpConfig};
use platform::http::admin::serve_admin;
use platform::http::health::Health;
use platform::http::{layers, server};
use platform::lifecycle::{Services, Shutdown};
use platform::telemetry::metrics::{self, PrometheusHandle};
use query_api::{QueryConfig, Replayer};
use sink::SinkConfig;

use crate::dead_letters::KafkaReplayer;
use crate::jobs::JobsSettings;
use crate::reference::reference;
use crate::serve::{DRAIN_BOUND, FLUSH_BOUND, VERSION};

/// Settings of a service that answers HTTP.
pub(crate) struct HttpService<C> {
    service: C,
    http: HttpConfig,
    admin: AdminConfig,
}

/// Settings of a service that does not.
pub(crate) struct Worker<C> {
    service: C,
    admin: AdminConfig,
}

impl<C> HttpService<C> {
    /// Reads the sections; `service` reads the service's own.
    pub(crate) fn read(env: &mut Env, service: impl FnOnce(&mut Env) -> C) -> Self {
        Self {
            service: service(env),
            http: HttpConfig::from_env(env),
            admin: AdminConfig::from_env(env),
        }
    }
}

impl<C> Worker<C> {
    /// Reads the sections; `service` reads the service's own.
    pub(crate) fn read(env: &mut Env, service: impl FnOnce(&mut Env) -> C) -> Self {
        Self {
            service: service(env),
            admin: AdminConfig::from_env(env),
        }
    }
}

/// What every process has.
struct Process {
    shutdown: Shutdown,
    health: Health,
    metrics: PrometheusHandle,
    services: Services,
}

impl Process {
    fn start(name: &'static str) -> anyhow::Result<Self> {
        Ok(Self {
            shutdown: Shutdown::on_signals()?,
            health: Health::new(name, VERSION),
            metrics: metrics::install()?,
            services: Services::new(),
        })
    }

    async fn serve(
        &mut self,
        name: &'static str,
        router: Router,
        http: HttpConfig,
    ) -> anyhow::Result<()> {
        let listener = server::bind(&http).await?;
        let router = layers::standard(router.merge(reference()), name, &http);
        let serving = server::serve(listener, router, http, self.shutdown.clone());
        self.services.spawn(name, serving);
        Ok(())
    }

    async fn run(mut self, admin: AdminConfig) -> anyhow::Result<()> {
        let serving = serve_admin(admin, self.health, self.metrics, self.shutdown.clone());
        self.services.spawn("admin", serving);
        self.services
            .run_until_shutdown(self.shutdown, DRAIN_BOUND)
            .await
    }
}

pub(crate) async fn gateway(config: HttpService<GatewayConfig>) -> anyhow::Result<()> {
    let mut process = Process::start("gateway")?;
    let gateway = Gateway::start(&config.service, &process.health).await?;
    process
        .serve("gateway", gateway.router(), config.http)
        .await?;
    let result = process.run(config.admin).await;
    gateway.drain(FLUSH_BOUND).await;
    result
}

/// Settings of the query API, and with what it sends dead letters again, if it can.
pub(crate) struct QuerySettings {
    query: QueryConfig,
    replayer: Option<KafkaReplayer>,
}

impl QuerySettings {
    pub(crate) fn from_env(env: &mut Env) -> Self {
        Self {
            query: QueryConfig::from_env(env),
            replayer: KafkaReplayer::from_env(env),
        }
    }
}

pub(crate) async fn query(config: HttpService<QuerySettings>) -> anyhow::Result<()> {
    let mut process = Process::start("query")?;
    let QuerySettings { query, replayer } = config.service;
    let replayer = replayer.map(|replayer| Arc::new(replayer) as Arc<dyn Replayer>);
    let shutdown = process.shutdown.clone();
    let router = query_api::start(&query, replayer, &process.health, shutdown).await?;
    process.serve("query", router, config.http).await?;
    process.run(config.admin).await
}

pub(crate) async fn aggregator(config: Worker<AggregatorConfig>) -> anyhow::Result<()> {
    let mut process = Process::start("aggregator")?;
    let health = process.health.component("aggregator");
    let running = aggregator::run(config.service, health, process.shutdown.clone());
    process.services.spawn("aggregator", running);
    process.run(config.admin).await
}

pub(crate) async fn sink(config: Worker<SinkConfig>) -> anyhow::Result<()> {
    let mut process = Process::start("sink")?;
    let health = process.health.component("sink");
    let running = sink::run(config.service, health, process.shutdown.clone());
    process.services.spawn("sink", running);
    process.run(config.admin).await
}

pub(crate) async fn jobs(config: Worker<JobsSettings>) -> anyhow::Result<()> {
    let mut process = Process::start("jobs")?;
    let health = process.health.component("jobs");
    let all = config.service.all()?;
    let running = ::jobs::run(config.service.jobs, all, health, process.shutdown.clone());
    process.services.spawn("jobs", running);
    process.run(config.admin).await
}
