//! One run of a job: attempts, each with a timeout and a row in the history.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::FutureExt;
use metrics::{counter, gauge, histogram};
use platform::backoff::Backoff;
use platform::lifecycle::Shutdown;
use platform::telemetry::names;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::history::{History, Trigger};
use crate::job::{Job, Outcome, Run};
use crate::locks::Locks;

/// How often a job is tried that fails.
const ATTEMPTS: i32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a job that is to end may take until a safe point, before it is dropped as it is. Less
/// than a process may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs jobs for as long as its locks are held.
pub(crate) struct Runner {
    pub(crate) history: History,
    pub(crate) locks: Locks,
    pub(crate) told: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Runner {
    /// Runs a job until it succeeds, or fails for the last time. `None`: somebody else is at it.
    ///
    /// # Errors
    /// When the history cannot be written or the lock not asked for.
    pub(crate) async fn run(
        &self,
        job: &dyn Job,
        trigger: Trigger,
        stop: &Shutdown,
    ) -> anyhow::Result<Option<Outcome>> {
        let name = job.spec().name;
        if !self.locks.try_take(name).await? {
            return Ok(None);
        }
        self.abandon(name).await?;
        let outcome = self.attempts(job, trigger, stop).await?;
        self.locks.release(name).await?;
        Ok(Some(outcome))
    }

    /// Closes what a process left open that died, if nobody is at it.
    pub(crate) async fn sweep(&self, name: &'static str) -> anyhow::Result<()> {
        if self.locks.try_take(name).await? {
            self.abandon(name).await?;
            self.locks.release(name).await?;
        }
        if let Some(success) = self.history.last_success(name).await? {
            gauge!(names::JOB_LAST_SUCCESS, "job" => name).set(success.timestamp() as f64);
        }
        Ok(())
    }

    async fn abandon(&self, name: &'static str) -> sqlx::Result<()> {
        let abandoned = self.history.abandon(name).await?;
        if abandoned > 0 {
            warn!(job = name, "a run was abandoned: its process died");
            let outcome = Outcome::Abandoned.as_str();
            counter!(names::JOB_RUNS, "job" => name, "outcome" => outcome).increment(abandoned);
        }
        Ok(())
    }

    async fn attempts(
        &self,
        job: &dyn Job,
        trigger: Trigger,
        stop: &Shutdown,
    ) -> anyhow::Result<Outcome> {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(job, trigger, attempt, stop).await?;
            if outcome != Outcome::Failed || attempt == ATTEMPTS {
                return Ok(outcome);
            }
            // Told to end meanwhile, it stays at that it failed.
            if timeout(backoff.pause(), stop.triggered()).await.is_ok() {
                return Ok(outcome);
            }
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        job: &dyn Job,
        trigger: Trigger,
        attempt: i32,
        stop: &Shutdown,
    ) -> anyhow::Result<Outcome> {
        let name = job.spec().name;
        let id = self.history.begin(name, trigger, attempt).await?;
        info!(job = name, attempt, "a job begins");
        let began = Instant::now();
        let run = Run {
            id,
            pool: self.history.pool.clone(),
            stop: stop.child(),
            told: self.told.clone(),
        };
        let (outcome, result) = bounded(job, &run).await;
        let took = began.elapsed();
        let said = result.as_ref().err().map(|error| format!("{error:#}"));
        self.history
            .end(id, outcome, result.as_ref().ok(), said.as_deref())
            .await?;
        counter!(names::JOB_RUNS, "job" => name, "outcome" => outcome.as_str()).increment(1);
        histogram!(names::JOB_DURATION, "job" => name).record(took);
        let elapsed_ms = took.as_millis();
        match (outcome, &result) {
            (Outcome::Succeeded, Ok(details)) => {
                gauge!(names::JOB_LAST_SUCCESS, "job" => name)
                    .set(chrono::Utc::now().timestamp() as f64);
                info!(job = name, elapsed_ms, %details, "a job is done");
            }
            (Outcome::Interrupted, _) => info!(job = name, elapsed_ms, "a job was interrupted"),
            _ => {
                let error = said.as_deref().unwrap_or_default();
                error!(job = name, attempt, elapsed_ms, %outcome, error, "a job did not succeed");
            }
        }
        Ok(outcome)
    }
}

/// Runs a job within its timeout, and tells it to end when it is time.
async fn bounded(job: &dyn Job, run: &Run) -> (Outcome, anyhow::Result<Value>) {
    let mut running = std::pin::pin!(AssertUnwindSafe(job.run(run)).catch_unwind());
    let limit = job.spec().timeout;
    let early = tokio::select! {
        biased;
        result = &mut running => Err(result),
        () = run.stop.triggered() => Ok(Outcome::Interrupted),
        () = sleep(limit) => Ok(Outcome::TimedOut),
    };
    let (ended, result) = match early {
        // It may have seen that it is to end before we did.
        Err(result) => (
            run.stop.is_triggered().then_some(Outcome::Interrupted),
            result,
        ),
        Ok(ended) => {
            run.stop.trigger();
            let result = timeout(GRACE, running).await;
            let dropped = || {
                Ok(Err(anyhow!(
                    "dropped: it came to no safe point within {GRACE:?}"
                )))
            };
            (Some(ended), result.unwrap_or_else(|_| dropped()))
        }
    };
    let result = result.unwrap_or_else(|_| Err(anyhow!("it panicked")));
    let outcome = ended.unwrap_or(match result {
        Ok(_) => Outcome::Succeeded,
        Err(_) => Outcome::Failed,
    });
    (outcome, result)
}
