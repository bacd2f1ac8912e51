//! Leading and standing by.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use metrics::{counter, gauge};
use platform::backoff::Backoff;
use platform::database::{DatabaseUrl, Role, connect};
use platform::http::health::ComponentHealth;
use platform::lifecycle::Shutdown;
use platform::telemetry::names;
use schemas::Window;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::JobsConfig;
use crate::history::{History, Trigger};
use crate::job::{Job, Outcome};
use crate::locks::{LEADER, Locks};
use crate::runner::Runner;
use crate::schedule::Schedule;

/// Between two tries to lead.
const STAND_BY: Duration = Duration::from_secs(1);
/// The longest without a look at the history, in which others write, and at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Until a job is looked at again that somebody runs by hand.
const BUSY: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Connections that the jobs of a process share.
const POOL: u32 = 6;

/// Runs jobs on schedule while leading, and stands by otherwise, until `shutdown`; then the
/// running ones are told to end.
///
/// # Errors
/// When `DATABASE_URL` is none. A database that is away is waited for, and told to `health`.
pub async fn run(
    config: JobsConfig,
    jobs: Vec<Arc<dyn Job>>,
    health: ComponentHealth,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    DatabaseUrl::parse(config.database.url.expose_secret())?;
    count_from_zero(&jobs);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while !shutdown.is_triggered() {
        let ended = session(&config, &jobs, &health, &shutdown, &mut backoff).await;
        gauge!(names::JOBS_LEADER).set(0.0);
        let Err(error) = ended else { break };
        health.down("the database is away, or the jobs' lock was lost; trying again");
        let pause = backoff.pause();
        warn!(error = %format!("{error:#}"), pause_ms = pause.as_millis(), "jobs stopped, trying again");
        // Ends early, and that is no error, when it is time to stop.
        let _ = timeout(pause, shutdown.triggered()).await;
    }
    Ok(())
}

/// Shows the counters that alerts look at before anything is counted: an increase from nothing
/// to something is none to Prometheus.
fn count_from_zero(jobs: &[Arc<dyn Job>]) {
    for window in Window::ALL {
        counter!(names::ROLLUPS_HEALED, "window" => window.as_str()).increment(0);
    }
    for (job, outcome) in jobs.iter().flat_map(|job| Outcome::ALL.map(|o| (job, o))) {
        let labels = [("job", job.spec().name), ("outcome", outcome.as_str())];
        counter!(names::JOB_RUNS, &labels).increment(0);
    }
}

/// Opens what jobs work with. `scope` is triggered when the locks are lost.
pub(crate) async fn runner(
    config: &JobsConfig,
    scope: Shutdown,
    told: Arc<dyn Fn(&str) + Send + Sync>,
) -> anyhow::Result<Runner> {
    let url = DatabaseUrl::parse(config.database.url.expose_secret())?;
    let password = config.database.jobs_password.as_ref();
    let pool = connect(&url, POOL, "flowmeter-jobs", Role::Jobs, password).await?;
    Ok(Runner {
        history: History {
            pool,
            instance: config.instance_id.clone(),
        },
        locks: Locks::open(&url, password, scope).await?,
        told,
    })
}

/// Stands by, then leads, until the shutdown.
async fn session(
    config: &JobsConfig,
    jobs: &[Arc<dyn Job>],
    health: &ComponentHealth,
    shutdown: &Shutdown,
    backoff: &mut Backoff,
) -> anyhow::Result<()> {
    let scope = shutdown.child();
    let told: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(|text| tracing::debug!("{text}"));
    let runner = Arc::new(runner(config, scope.clone(), told).await?);
    health.up();
    backoff.reset();
    while !runner.locks.try_take(LEADER).await? {
        if timeout(STAND_BY, scope.triggered()).await.is_ok() {
            return until(shutdown);
        }
    }
    info!("leads: jobs run on schedule");
    gauge!(names::JOBS_LEADER).set(1.0);
    for job in jobs {
        runner.sweep(job.spec().name).await?;
    }
    let mut loops = JoinSet::new();
    for job in jobs {
        let schedule = config.schedule(job.spec());
        let (runner, scope) = (runner.clone(), scope.clone());
        loops.spawn(keep(job.clone(), schedule, runner, scope));
    }
    let mut outcome = Ok(());
    while let Some(ended) = loops.join_next().await {
        // Whatever ended one ends the others: they begin anew together.
        scope.trigger();
        outcome = outcome.and(ended.context("a job's loop panicked").flatten());
    }
    outcome.and_then(|()| until(shutdown))
}

fn until(shutdown: &Shutdown) -> anyhow::Result<()> {
    if !shutdown.is_triggered() {
        bail!("the connection that holds the locks was lost");
    }
    Ok(())
}

/// Runs a job whenever it is due.
async fn keep(
    job: Arc<dyn Job>,
    schedule: Schedule,
    runner: Arc<Runner>,
    scope: Shutdown,
) -> anyhow::Result<()> {
    let name = job.spec().name;
    while !scope.is_triggered() {
        let (now, last) = runner.history.last(name).await?;
        runner.history.plan(job.spec(), &schedule, now).await?;
        let pause = if !schedule.is_due(now, last) {
            let next = schedule.next(now).map(|next| next - now);
            let until = next.and_then(|span| span.to_std().ok());
            until.map_or(LOOK_EVERY, |until| until.min(LOOK_EVERY))
        } else if runner
            .run(&*job, Trigger::Schedule, &scope)
            .await?
            .is_none()
        {
            BUSY
        } else {
            continue;
        };
        // Ends early, and that is no error, when it is time to stop.
        let _ = timeout(pause, scope.triggered()).await;
    }
    Ok(())
}
