//! `flowmeter jobs`: the service, and jobs by hand.

mod reconcile;

use std::sync::Arc;
use std::time::Duration;

use ::jobs::{Job, JobsConfig, Line, Outcome};
use anyhow::ensure;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use platform::config::Env;
use platform::lifecycle::Shutdown;
use schemas::Window;
use sink::SinkConfig;

const AFTER_HELP: &str = "\
Without a command it is the service. Any number may run: one leads and runs the jobs on
schedule, another takes over within seconds when it ends. `flowmeter serve` does the same.

JOB_<NAME>_SCHEDULE says when a job runs, in UTC: a cron expression (\"30 2 * * *\"), \"every 300s\",
or \"off\". docs/OPERATIONS.md says what each job does.";

/// Arguments of `flowmeter jobs`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct JobsArgs {
    /// Nothing: the service
    #[command(subcommand)]
    pub(crate) command: Option<JobsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Show every job, its schedule, its last run and its next
    List,
    /// Run a job now, also while the service runs; fails unless it succeeds
    Run {
        /// Its name, as in the list
        name: String,
    },
}

/// Settings of the jobs, and the windows whose rollups are compared.
#[derive(Debug, Clone)]
pub struct JobsSettings {
    /// Of the jobs.
    pub jobs: JobsConfig,
    windows: Vec<Window>,
}

impl JobsSettings {
    /// Reads the settings.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            jobs: JobsConfig::from_env(env),
            windows: SinkConfig::from_env(env).windows,
        }
    }

    /// All jobs.
    ///
    /// # Errors
    /// When the webhook's client cannot be made.
    pub fn all(&self) -> anyhow::Result<Vec<Arc<dyn Job>>> {
        let windows = self.windows.clone();
        ::jobs::all(&self.jobs, Arc::new(reconcile::SinksRollups { windows }))
    }
}

/// Prints all jobs.
#[allow(clippy::print_stdout, reason = "the list is the output")]
pub(crate) async fn list(settings: &JobsSettings) -> anyhow::Result<()> {
    for line in ::jobs::list(&settings.jobs, &settings.all()?).await? {
        println!("{}", shown(&line, Utc::now()));
    }
    Ok(())
}

fn shown(line: &Line, now: DateTime<Utc>) -> String {
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let last = match &line.last {
        None => "never ran".to_owned(),
        Some(last) => {
            let outcome = last.outcome.as_deref().unwrap_or("running");
            let took = (last.ended_at.unwrap_or(now) - last.started_at).num_seconds();
            let error = last.error.as_ref().map(|error| format!(": {error}"));
            let (began, error) = (instant(last.started_at), error.unwrap_or_default());
            format!("last {began}, {outcome} after {took} s{error}")
        }
    };
    let next = line.next.map_or("by hand alone".to_owned(), |next| {
        format!("next {}", instant(next))
    });
    format!(
        "{:<15} {:<14} {}\n{:>31}{last}\n{:>31}{next}",
        line.spec.name, line.schedule, line.spec.about, "", ""
    )
}

/// Runs a job with progress; ^C ends it at its next safe point.
#[allow(clippy::print_stdout, reason = "the outcome is the output")]
pub(crate) async fn run_by_hand(name: &str, settings: &JobsSettings) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(250));
    let shown = bar.clone();
    let told = Arc::new(move |text: &str| shown.set_message(text.to_owned()));
    let ran = ::jobs::run_by_hand(&settings.jobs, &settings.all()?, name, told, &shutdown).await;
    bar.finish_and_clear();
    let outcome = ran?;
    println!("{name} {outcome}");
    ensure!(
        outcome == Outcome::Succeeded,
        "{name} {outcome}; the log and flowmeter.job_runs say why"
    );
    Ok(())
}
