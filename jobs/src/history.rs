//! What ran when, and what came of it: the table `flowmeter.job_runs`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use crate::job::{Outcome, Spec};
use crate::schedule::{Schedule, last_counted};

/// Who wanted a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Schedule,
    Hand,
}

impl Trigger {
    fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Hand => "hand",
        }
    }
}

/// The history of all jobs.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) pool: PgPool,
    /// Who writes it.
    pub(crate) instance: String,
}

impl History {
    /// An attempt begins.
    pub(crate) async fn begin(
        &self,
        job: &str,
        trigger: Trigger,
        attempt: i32,
    ) -> sqlx::Result<i64> {
        let sql = "insert into flowmeter.job_runs (job, \"trigger\", attempt, instance) \
             values ($1, $2, $3, $4) returning id";
        sqlx::query_scalar(sql)
            .bind(job)
            .bind(trigger.as_str())
            .bind(attempt)
            .bind(&self.instance)
            .fetch_one(&self.pool)
            .await
    }

    /// An attempt has ended. Without `details`, those noted so far stay.
    pub(crate) async fn end(
        &self,
        id: i64,
        outcome: Outcome,
        details: Option<&Value>,
        error: Option<&str>,
    ) -> sqlx::Result<()> {
        let sql = "update flowmeter.job_runs set ended_at = clock_timestamp(), outcome = $2, \
             details = coalesce($3::text::jsonb, details), error = $4 where id = $1";
        sqlx::query(sql)
            .bind(id)
            .bind(outcome.as_str())
            .bind(details.map(Value::to_string))
            .bind(error)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Closes the runs of a job that nobody is running; to be called by whoever has its lock.
    pub(crate) async fn abandon(&self, job: &str) -> sqlx::Result<u64> {
        let sql = "update flowmeter.job_runs set ended_at = clock_timestamp(), \
             outcome = 'abandoned', error = 'its process died' where job = $1 and outcome is null";
        let closed = sqlx::query(sql).bind(job).execute(&self.pool).await?;
        Ok(closed.rows_affected())
    }

    /// The database's time, by which the history is written, and when a job last began, of the
    /// runs that count.
    pub(crate) async fn last(
        &self,
        job: &str,
    ) -> sqlx::Result<(DateTime<Utc>, Option<DateTime<Utc>>)> {
        let now = sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(&self.pool)
            .await?;
        let sql = "select started_at, outcome from flowmeter.job_runs \
             where job = $1 and outcome is not null order by started_at desc limit 20";
        let runs: Vec<(DateTime<Utc>, String)> =
            sqlx::query_as(sql).bind(job).fetch_all(&self.pool).await?;
        let runs: Vec<(DateTime<Utc>, Outcome)> = runs
            .into_iter()
            .filter_map(|(began, outcome)| Some((began, Outcome::of(&outcome)?)))
            .collect();
        Ok((now, last_counted(&runs)))
    }

    /// Says when a job runs, for those who look at the table.
    pub(crate) async fn plan(
        &self,
        spec: &Spec,
        schedule: &Schedule,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let sql = "insert into flowmeter.job_plans as p (job, about, schedule, next_at) \
             values ($1, $2, $3, $4) on conflict (job) do update set about = excluded.about, \
             schedule = excluded.schedule, next_at = excluded.next_at, updated_at = now() \
             where (p.about, p.schedule, p.next_at) \
                is distinct from (excluded.about, excluded.schedule, excluded.next_at)";
        sqlx::query(sql)
            .bind(spec.name)
            .bind(spec.about)
            .bind(schedule.to_string())
            .bind(schedule.next(now))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// When a job last succeeded.
    pub(crate) async fn last_success(&self, job: &str) -> sqlx::Result<Option<DateTime<Utc>>> {
        let sql = "select max(ended_at) from flowmeter.job_runs \
             where job = $1 and outcome = 'succeeded'";
        sqlx::query_scalar(sql)
            .bind(job)
            .fetch_one(&self.pool)
            .await
    }
}

/// Notes what a run has done so far, as part of a transaction that does it.
pub(crate) async fn note(
    transaction: &mut PgConnection,
    id: i64,
    details: &Value,
) -> sqlx::Result<()> {
    let sql = "update flowmeter.job_runs set details = $2::text::jsonb where id = $1";
    sqlx::query(sql)
        .bind(id)
        .bind(details.to_string())
        .execute(transaction)
        .await?;
    Ok(())
}

/// Forgets what is older than so many days, but for each job's last success.
pub(crate) async fn prune(pool: &PgPool, days: i32) -> sqlx::Result<u64> {
    let sql = "delete from flowmeter.job_runs r where ended_at < now() - make_interval(days => $1) \
         and id not in (select max(id) from flowmeter.job_runs where outcome = 'succeeded' group by job)";
    let runs = sqlx::query(sql).bind(days).execute(pool).await?;
    let sql = "delete from flowmeter.alert_messages \
         where delivered_at < now() - make_interval(days => $1)";
    let messages = sqlx::query(sql).bind(days).execute(pool).await?;
    Ok(runs.rows_affected() + messages.rows_affected())
}
