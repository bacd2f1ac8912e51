//! A database of the test's own, and jobs on it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use platform::config::Env;
use platform::database::Role;
use platform::http::health::Health;
use platform::lifecycle::Shutdown;
use platform::test_support::{self, TestDatabase, TestTopics, required_env};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;

use crate::job::{Job, Outcome};
use crate::{JobsConfig, run, run_by_hand};

const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct World {
    pub(super) pool: PgPool,
    pub(super) database: TestDatabase,
    topics: TestTopics,
}

impl World {
    pub(super) async fn new() -> Self {
        let database = TestDatabase::create().await;
        Self {
            pool: database.pool(Role::Owner).await,
            database,
            topics: TestTopics::new(),
        }
    }

    pub(super) fn config(&self, settings: &[(&str, &str)]) -> JobsConfig {
        let brokers = required_env("KAFKA_BROKERS");
        let registry = required_env("SCHEMA_REGISTRY_URL");
        let common = [
            ("KAFKA_BROKERS", brokers.as_str()),
            ("SCHEMA_REGISTRY_URL", &registry),
            ("KAFKA_TOPIC_PREFIX", self.topics.prefix()),
            ("DATABASE_URL", self.database.url_text()),
        ];
        let mut env = Env::from_pairs(common.into_iter().chain(settings.iter().copied()));
        let config = JobsConfig::from_env(&mut env);
        env.finish().unwrap();
        config
    }

    pub(super) async fn by_hand(
        &self,
        config: &JobsConfig,
        job: Arc<dyn Job>,
    ) -> anyhow::Result<Outcome> {
        let name = job.spec().name;
        let told = Arc::new(|_: &str| ());
        run_by_hand(config, &[job], name, told, &Shutdown::new()).await
    }

    /// A process that runs a job on schedule.
    pub(super) fn process(&self, config: JobsConfig, job: Arc<dyn Job>) -> Process {
        let (health, shutdown) = (Health::new("jobs", "test"), Shutdown::new());
        let component = health.component("jobs");
        let running = run(config, vec![job], component, shutdown.clone());
        Process {
            shutdown,
            task: tokio::spawn(running),
        }
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(super) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Waits until a query gives at least one.
    pub(super) async fn until(&self, sql: &str) {
        eventually(sql, || async { (self.number(sql).await > 0).then_some(()) }).await;
    }

    /// The outcomes of a job's attempts, in order.
    pub(super) async fn outcomes(&self, job: &str) -> Vec<Option<String>> {
        sqlx::query_scalar("select outcome from flowmeter.job_runs where job = $1 order by id")
            .bind(job)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
}

pub(super) struct Process {
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Process {
    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(self) {
        self.shutdown.trigger();
        self.task.await.unwrap().unwrap();
    }
}

pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    probe: impl FnMut() -> F,
) -> T {
    test_support::eventually(PATIENCE, what, probe).await
}
