//! What has expired is removed, each organization's after its own time, whole chunks of whole
//! days. Boundaries are recorded first: see the migration `0011_jobs`.

mod policy;
mod remove;

use std::time::Duration;

use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) use self::policy::RetentionConfig;
use self::policy::{Policy, TABLES};
use self::remove::{Removed, Table};
use crate::history;
use crate::job::{Job, Run, Spec};

pub(crate) const SPEC: Spec = Spec {
    name: "retention",
    about: "removes what is older than each organization's retention, and old history",
    schedule: "30 2 * * *",
    timeout: Duration::from_secs(4 * 3600),
};

/// The job.
pub(crate) struct Retention {
    config: RetentionConfig,
}

impl Retention {
    pub(crate) fn new(config: RetentionConfig) -> Self {
        Self { config }
    }

    async fn remove(&self, run: &Run) -> anyhow::Result<Value> {
        let policy = Policy::new(self.config.clone(), overrides(&run.pool).await?);
        let now = Utc::now();
        let mut details = Map::new();
        for table in TABLES {
            let mut removed = Removed::default();
            let table = Table {
                name: table,
                run,
                now,
            };
            let result = table.remove(&policy, &mut removed).await;
            if !removed.is_nothing() {
                details.insert(table.name.to_owned(), serde_json::to_value(&removed)?);
            }
            result?;
            if run.stop.is_triggered() {
                return Ok(details.into());
            }
        }
        let forgotten = history::prune(&run.pool, self.config.history_days).await?;
        details.insert("history_rows".to_owned(), forgotten.into());
        Ok(details.into())
    }
}

impl Job for Retention {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, anyhow::Result<Value>> {
        self.remove(run).boxed()
    }
}

async fn overrides(pool: &PgPool) -> sqlx::Result<Vec<(Uuid, String, i32)>> {
    sqlx::query_as("select organization_id, table_name, days from flowmeter.retention")
        .fetch_all(pool)
        .await
}
