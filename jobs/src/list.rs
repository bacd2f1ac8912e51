//! What a person wants to see of the jobs.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use platform::database::{DatabaseUrl, Role, connect};
use secrecy::ExposeSecret;
use sqlx::FromRow;

use crate::JobsConfig;
use crate::job::{Job, Spec};

/// A job, its last run and its next.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which job.
    pub spec: &'static Spec,
    /// When it runs.
    pub schedule: String,
    /// The last run, which may still go on.
    pub last: Option<LastRun>,
    /// When it runs next; `None`: by hand alone.
    pub next: Option<DateTime<Utc>>,
}

/// What the history says of a run.
#[derive(Debug, Clone, FromRow)]
pub struct LastRun {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How; `None`: it goes on, or its process died just now.
    pub outcome: Option<String>,
    /// Why not.
    pub error: Option<String>,
}

/// Every job, with its last run and its next.
///
/// # Errors
/// When the database is away.
pub async fn list(config: &JobsConfig, jobs: &[Arc<dyn Job>]) -> anyhow::Result<Vec<Line>> {
    let url = DatabaseUrl::parse(config.database.url.expose_secret())?;
    let password = config.database.jobs_password.as_ref();
    let pool = connect(&url, 1, "flowmeter-jobs-list", Role::Jobs, password).await?;
    let mut lines = Vec::new();
    for job in jobs {
        let spec = job.spec();
        let sql = "select started_at, ended_at, outcome, error from flowmeter.job_runs \
             where job = $1 order by started_at desc limit 1";
        let last = sqlx::query_as(sql)
            .bind(spec.name)
            .fetch_optional(&pool)
            .await?;
        let schedule = config.schedule(spec);
        lines.push(Line {
            spec,
            next: schedule.next(Utc::now()),
            schedule: schedule.to_string(),
            last,
        });
    }
    Ok(lines)
}
