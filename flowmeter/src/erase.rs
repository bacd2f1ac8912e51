//! `flowmeter erase`: a user's right to be forgotten.

use std::fmt;
use std::time::Duration;

use anyhow::ensure;
use chrono::Utc;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use platform::config::{DatabaseConfig, Env};
use platform::lifecycle::Shutdown;
use sink::erase::{Erase, Mode, Rows, erase, find};
use uuid::Uuid;

use crate::migrate::{Retention, retention};

const AFTER_HELP: &str = "\
Without --yes it tells what there is, and changes nothing. Everything may run meanwhile; ^C ends
it after the day it is at, and a second run goes on. The rollups of teams and of the
organization stay as they are.

Afterwards Kafka still holds the records, until its retention ends, and so do backups: erase
again after a restore. Events of the user that arrive later are new data.";

/// Arguments of `flowmeter erase`.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct EraseArgs {
    /// Whose user
    #[arg(long)]
    pub organization: Uuid,
    /// Who
    #[arg(long)]
    pub user: Uuid,
    /// What becomes of the user's rows
    #[arg(long, value_enum, default_value_t = ModeArg::Anonymize)]
    pub mode: ModeArg,
    /// Who asked for it, or a ticket; kept in flowmeter.erasures
    #[arg(long, env = "USER", hide_env_values = true, default_value = "unknown")]
    pub by: String,
    /// Do it
    #[arg(long)]
    pub yes: bool,
}

/// [`Mode`], as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// They stay as a stranger's: random ids, no arguments, messages or context
    Anonymize,
    /// They are deleted; their sums stay in the rollups of teams and of the organization
    Remove,
}

/// Settings of `flowmeter erase`.
#[derive(Debug, Clone)]
pub struct EraseConfig {
    /// The database, as the sink.
    pub database: DatabaseConfig,
    /// How long Kafka has what is erased here.
    pub retention: Retention,
}

impl EraseConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            database: DatabaseConfig::from_env(env),
            retention: retention(env),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many rows.
    pub rows: Rows,
    /// Whether they were erased, or only looked for.
    pub erased: bool,
    /// Whether it came to its end.
    pub is_whole: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rows {
            raw,
            rollups,
            dead_letters,
        } = self.rows;
        let did = if self.erased { "erased" } else { "found" };
        write!(
            f,
            "{raw} events, {rollups} rollups of the user, {dead_letters} dead letters {did}"
        )
    }
}

/// Looks, or erases with progress, and prints a summary.
#[allow(clippy::print_stdout, reason = "the summary is the output")]
pub(crate) async fn run(args: &EraseArgs, config: &EraseConfig) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let style = "{elapsed_precise} {wide_bar} {pos}/{len} days, {msg}, {eta} left";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    bar.enable_steady_tick(Duration::from_millis(250));
    let summary = forget(args, config, &bar, &shutdown).await;
    bar.finish_and_clear();
    let summary = summary?;
    println!("{summary}");
    if !summary.erased {
        println!("Nothing was changed. Again with --yes, and they are erased.");
        return Ok(());
    }
    ensure!(summary.is_whole, "ended early; run it again to go on");
    let until = |kept: Duration| {
        let until = Utc::now() + kept;
        until.format("%Y-%m-%d")
    };
    println!(
        "Kafka holds records of the user until {} (events) and {} (dead letters), if its topics \
         have the retention configured here. Dead letters of the user that are replayed until \
         then come back.",
        until(config.retention.events),
        until(config.retention.dead_letters)
    );
    Ok(())
}

/// Looks for the user's rows, and with `--yes` erases them, telling `bar`, until it is done or
/// `shutdown` is triggered.
///
/// # Errors
/// The database's.
pub async fn forget(
    args: &EraseArgs,
    config: &EraseConfig,
    bar: &ProgressBar,
    shutdown: &Shutdown,
) -> anyhow::Result<Summary> {
    let request = Erase {
        organization_id: args.organization,
        user_id: args.user,
        mode: match args.mode {
            ModeArg::Anonymize => Mode::Anonymize,
            ModeArg::Remove => Mode::Remove,
        },
        requested_by: args.by.clone(),
    };
    if !args.yes {
        return Ok(Summary {
            rows: find(&config.database, &request).await?,
            erased: false,
            is_whole: true,
        });
    }
    let (rows, is_whole) = erase(&config.database, &request, |step| {
        bar.set_length(step.of as u64);
        bar.set_position(step.done as u64);
        bar.set_message(format!("{} events", step.rows.raw));
        !shutdown.is_triggered()
    })
    .await?;
    tracing::info!(
        organization = %args.organization, by = %args.by, mode = ?args.mode, events = rows.raw,
        rollups = rows.rollups, dead_letters = rows.dead_letters, is_whole, "a user was erased"
    );
    Ok(Summary {
        rows,
        erased: true,
        is_whole,
    })
}
