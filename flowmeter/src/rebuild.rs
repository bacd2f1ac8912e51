//! `flowmeter rebuild`: rollups anew, from the raw rows.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use platform::lifecycle::Shutdown;
use schemas::Timestamp;
use sink::SinkConfig;
use sink::rebuild::{Difference, Progress, Rebuild, rebuild};
use uuid::Uuid;

const AFTER_HELP: &str = "\
Whole days (UTC) are compared, those that the range touches. Rollups that are as the raw rows
say stay untouched, so that a second run changes nothing. Everything may run meanwhile: an
organization's events wait only while a day of it that differs is written.

Days of which retention has removed raw rows are left as they are.";

/// Arguments of `flowmeter rebuild`.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RebuildArgs {
    /// Events from this instant on, RFC 3339
    #[arg(long)]
    pub from: DateTime<Utc>,
    /// Events before this instant; now if not given
    #[arg(long)]
    pub to: Option<DateTime<Utc>>,
    /// Of this organization alone
    #[arg(long)]
    pub organization: Option<Uuid>,
    /// What is believed: the raw rows, or what Kafka still has of the events
    #[arg(long, value_enum, default_value_t = Source::Database)]
    pub source: Source,
    /// Tell what differs, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What rollups are rebuilt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// The raw rows
    Database,
    /// Raw rows that are missing are first restored from metrics.admitted-events
    Kafka,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Days of organizations that were compared.
    pub days: usize,
    /// Of how many.
    pub of: usize,
    /// Of these were left as they are, since retention has removed raw rows.
    pub expired: usize,
    /// Events they have.
    pub events: u64,
    /// Events restored from Kafka.
    pub restored: u64,
    /// What differed.
    pub difference: Difference,
    /// Nothing was written.
    pub dry_run: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            compared,
            missing,
            wrong,
            surplus,
        } = self.difference;
        writeln!(
            f,
            "{} of {} days of organizations, {} events, {compared} rollups compared",
            self.days, self.of, self.events
        )?;
        if self.expired > 0 {
            let left = self.expired;
            writeln!(f, "{left} left as they are: retention has removed raw rows")?;
        }
        if self.restored > 0 {
            writeln!(f, "{} events restored from Kafka", self.restored)?;
        }
        if self.difference.is_none() {
            return write!(f, "all are as the raw rows say; nothing to do");
        }
        let did = if self.dry_run {
            "not written (dry run)"
        } else {
            "written anew"
        };
        write!(
            f,
            "{missing} missing, {wrong} wrong, {surplus} of no raw row: {did}"
        )
    }
}

/// Recomputes, shows progress, and prints a summary; ^C ends it between two days.
#[allow(clippy::print_stdout, reason = "the summary is the output")]
pub(crate) async fn run(args: &RebuildArgs, config: &SinkConfig) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let bar = ProgressBar::new(0).with_style(style()?);
    bar.enable_steady_tick(Duration::from_millis(250));
    let summary = recompute(args, config, &bar, &shutdown).await;
    bar.finish_and_clear();
    let summary = summary?;
    println!("{summary}");
    ensure!(
        summary.days == summary.of,
        "ended early; days that were done stay done"
    );
    Ok(())
}

fn style() -> anyhow::Result<ProgressStyle> {
    Ok(ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {pos}/{len} days of organizations, {msg}, {eta} left",
    )?)
}

/// Recomputes, telling `bar`, until it is done or `shutdown` is triggered.
///
/// # Errors
/// When the range is none, or the database's.
pub async fn recompute(
    args: &RebuildArgs,
    config: &SinkConfig,
    bar: &ProgressBar,
    shutdown: &Shutdown,
) -> anyhow::Result<Summary> {
    let to = args.to.unwrap_or_else(Utc::now);
    ensure!(args.from < to, "--from must be before --to");
    let from_kafka = args.source == Source::Kafka;
    ensure!(
        !(from_kafka && args.dry_run),
        "--dry-run tells what differs from the raw rows; it cannot tell what Kafka would restore"
    );
    let request = Rebuild {
        from: Timestamp::try_from(args.from).context("--from")?,
        to: Timestamp::try_from(to).context("--to")?,
        organization: args.organization,
        dry_run: args.dry_run,
        from_kafka,
    };
    let mut summary = Summary {
        dry_run: args.dry_run,
        ..Summary::default()
    };
    let progress = |progress: Progress| {
        let step = match progress {
            Progress::Compared(step) => step,
            Progress::Restored { read, restored } => {
                summary.restored = restored;
                bar.set_message(format!("{read} records read, {restored} events restored"));
                return !shutdown.is_triggered();
            }
        };
        summary.days = step.done;
        summary.of = step.of;
        summary.expired += usize::from(step.compared.is_none());
        let compared = step.compared.unwrap_or_default();
        let found = compared.difference();
        summary.events += compared.events;
        summary.difference += found;
        bar.set_length(step.of as u64);
        bar.set_position(step.done as u64);
        let Difference {
            missing,
            wrong,
            surplus,
            ..
        } = summary.difference;
        bar.set_message(format!("{} differ", missing + wrong + surplus));
        if !found.is_none() {
            tracing::warn!(
                organization = %step.organization_id, day = %step.day, difference = ?found,
                written = !args.dry_run, "rollups differ from the raw rows"
            );
        }
        !shutdown.is_triggered()
    };
    rebuild(config, &request, progress).await?;
    Ok(summary)
}
