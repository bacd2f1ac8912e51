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
use platform::test_support::{self, TestDatabase, TestTopics, required_env};
use schemas::Topics;
use sqlx::PgPool;
use tokio::task::JoinHandle;

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
    /// Settings of the test's own.
    settings: Vec<(&'static str, &'static str)>,
    running: Option<Running>,
}

struct Running {
    base: String,
    shutdown: Shutdown,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Pipeline {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings of the test's own.
    pub(crate) async fn start_with(settings: &[(&'static str, &'static str)]) -> Self {
        let mut pipeline = Self::prepare(2).await;
        pipeline.set(settings);
        pipeline.resume().await;
        pipeline
    }

    /// All that services need, and none of them: for those that run as processes of their own.
    pub(crate) async fn prepare(partitions: i32) -> Self {
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
            partitions,
            replication: -1,
            retention: Duration::from_secs(86_400),
            dead_letter_retention: Duration::from_secs(86_400),
        };
        provision(&client, &registry, &topics, &defaults)
            .await
            .unwrap();
        let pool = database.pool(Role::Owner).await;
        Self {
            database,
            kafka,
            topics,
            registry,
            pool,
            settings: Vec::new(),
            running: None,
        }
    }

    /// The environment of every service.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("KAFKA_BROKERS", required_env("KAFKA_BROKERS")),
            ("SCHEMA_REGISTRY_URL", required_env("SCHEMA_REGISTRY_URL")),
            ("DATABASE_URL", self.database.url_text().to_owned()),
            ("KAFKA_TOPIC_PREFIX", self.kafka.prefix().to_owned()),
            ("KAFKA_GROUP_PREFIX", self.kafka.name("group")),
            ("KAFKA_PARTITIONS", "2".to_owned()),
            ("DB_POOL_SIZE", "4".to_owned()),
            ("JWT_SECRET", JWT_SECRET.to_owned()),
            ("PORT", "0".to_owned()),
            // They would heal what tests damage.
            ("JOBS_ENABLED", "false".to_owned()),
            // Tests post as fast as they can.
            ("RATE_LIMIT_MAX_REQUESTS", "0".to_owned()),
        ];
        let own = self.settings.iter();
        variables.extend(own.map(|(name, value)| (*name, (*value).to_owned())));
        variables
    }

    pub(crate) fn env(&self) -> Env {
        Env::from_pairs(self.variables())
    }

    /// Settings of the test's own, from the next start on.
    pub(crate) fn set(&mut self, settings: &[(&'static str, &'static str)]) {
        self.settings = settings.to_vec();
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
    probe: impl FnMut() -> F,
) -> T {
    test_support::eventually(PATIENCE, what, probe).await
}
