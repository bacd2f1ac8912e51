//! A running Flowmeter for one test.

use std::future::Future;
use std::time::Duration;

use flowmeter::migrate::MigrateConfig;
use flowmeter::serve::{ServeConfig, Serving};
use platform::config::{DatabaseConfig, Env, KafkaConfig};
use platform::database::Role;
use platform::kafka::client::KafkaClientConfig;
use platform::kafka::provision::{TopicDefaults, provision};
use platform::kafka::registry::RegistryClient;
use platform::lifecycle::Shutdown;
use platform::test_support::{TestDatabase, TestTopics, required_env};
use schemas::Topics;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
pub(crate) const JWT_SECRET: &str = "a secret of tests, which is long enough";

/// Topics, a database, and everything running on them.
pub(crate) struct Pipeline {
    pub(crate) database: TestDatabase,
    pub(crate) kafka: TestTopics,
    pub(crate) topics: Topics,
    pub(crate) registry: RegistryClient,
    pub(crate) pool: PgPool,
    /// `DATA_RETENTION_DAYS` of the next [`Pipeline::resume`].
    pub(crate) retention_days: &'static str,
    running: Option<Running>,
}

struct Running {
    base: String,
    shutdown: Shutdown,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Pipeline {
    pub(crate) async fn start() -> Self {
        let kafka = TestTopics::new();
        let database = TestDatabase::create().await;
        let topics = Topics::new(kafka.prefix());
        let registry = RegistryClient::new(
            &required_env("SCHEMA_REGISTRY_URL"),
            Duration::from_secs(10),
        )
        .unwrap();
        let client: KafkaClientConfig = platform::test_support::kafka();
        let defaults = TopicDefaults {
            partitions: 2,
            replication: -1,
            retention: Duration::from_secs(86_400),
            dead_letter_retention: Duration::from_secs(86_400),
        };
        provision(&client, &registry, &topics, &defaults)
            .await
            .unwrap();
        let pool = database.pool(Role::Owner).await;
        let mut pipeline = Self {
            database,
            kafka,
            topics,
            registry,
            pool,
            retention_days: "90",
            running: None,
        };
        pipeline.resume().await;
        pipeline
    }

    pub(crate) fn env(&self) -> Env {
        Env::from_pairs([
            ("KAFKA_BROKERS", required_env("KAFKA_BROKERS").as_str()),
            (
                "SCHEMA_REGISTRY_URL",
                required_env("SCHEMA_REGISTRY_URL").as_str(),
            ),
            ("DATABASE_URL", self.database.url_text()),
            ("KAFKA_TOPIC_PREFIX", self.kafka.prefix()),
            ("KAFKA_GROUP_PREFIX", &self.kafka.name("group")),
            ("KAFKA_PARTITIONS", "2"),
            ("DATA_RETENTION_DAYS", self.retention_days),
            ("DB_POOL_SIZE", "4"),
            ("JWT_SECRET", JWT_SECRET),
            ("PORT", "0"),
            // Tests post as fast as they can.
            ("RATE_LIMIT_MAX_REQUESTS", "0"),
        ])
    }

    /// Starts all services; again, after [`Pipeline::stop`].
    pub(crate) async fn resume(&mut self) {
        let mut env = self.env();
        let config = ServeConfig::from_env(&mut env);
        env.finish().unwrap();
        let shutdown = Shutdown::new();
        let serving = Serving::start(config, shutdown.clone()).await.unwrap();
        self.running = Some(Running {
            base: format!("http://{}", serving.address),
            shutdown,
            ended: tokio::spawn(serving.until_shutdown()),
        });
    }

    /// Ends all services as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
        running.shutdown.trigger();
        running.ended.await.unwrap().unwrap();
    }

    pub(crate) fn base(&self) -> &str {
        &self.running.as_ref().expect("it runs").base
    }

    pub(crate) fn migrate_config(&self) -> MigrateConfig {
        let mut env = self.env();
        MigrateConfig {
            kafka: KafkaConfig::from_env(&mut env),
            database: DatabaseConfig::from_env(&mut env),
            kafka_retention: Duration::from_secs(86_400),
            dead_letter_retention: Duration::from_secs(86_400),
        }
    }

    /// A single number out of the database.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

/// Waits until `probe` gives something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
