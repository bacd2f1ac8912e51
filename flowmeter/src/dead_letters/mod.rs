//! `flowmeter dead-letters`: refused records, looked at and sent again.
//!
//! Everything is read from the topic of dead letters itself. A replay sends a letter's record
//! to its topic again and writes a marker behind the letter, in one transaction: the letters
//! without a marker are open, and are all that a replay, the first or a later one, finds.

mod filter;
mod groups;
mod ledger;
mod list;
mod pacer;
mod print;
mod replay;
mod replayer;
mod scan;
mod show;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use platform::config::KafkaConfig;
use platform::kafka::client::KafkaClientConfig;
use platform::lifecycle::Shutdown;
use schemas::Topics;

pub use self::filter::{FilterArgs, State};
pub use self::groups::{Dimension, Group};
pub use self::ledger::Letter;
pub use self::list::{ListArgs, Listing, list};
pub use self::replay::{ReplayArgs, ReplayReport, replay};
pub use self::replayer::KafkaReplayer;
pub use self::show::{ShowArgs, Shown, show};

/// The name of the client of letters that say none.
const UNKNOWN: &str = "unknown";

const AFTER_HELP: &str = "\
Reads KAFKA_BROKERS, SCHEMA_REGISTRY_URL, KAFKA_TOPIC_PREFIX, KAFKA_GROUP_PREFIX and
KAFKA_PROPERTIES from the environment, as the services do.

  flowmeter dead-letters list
  flowmeter dead-letters list --reason unknown_schema --each --limit 20
  flowmeter dead-letters show metrics.command-executions/2/1187
  flowmeter dead-letters replay --reason unknown_schema --dry-run
  flowmeter dead-letters replay --reason unknown_schema";

/// Arguments of `flowmeter dead-letters`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which records were refused and why, in groups or one by one
    List(ListArgs),
    /// Show one refused record whole, with its value decoded if that can be done
    Show(ShowArgs),
    /// Send refused records again, each once, however often this is run
    Replay(ReplayArgs),
}

/// Runs one of them.
pub(crate) async fn run(args: DeadLettersArgs, kafka: &KafkaConfig) -> anyhow::Result<()> {
    let progress = progress()?;
    match args.command {
        Command::List(args) => {
            let listing = list(kafka, &args, &progress).await?;
            print::out(&listing.text(&args))
        }
        Command::Show(args) => {
            let shown = show(kafka, &args, &progress).await?;
            let shown = shown.ok_or_else(|| {
                anyhow::anyhow!("there is no dead letter of a record at {}", args.position)
            })?;
            print::out(&shown.text(args.json))
        }
        Command::Replay(args) => {
            let shutdown = Shutdown::on_signals()?;
            let report = replay(kafka, &args, &progress, &shutdown).await?;
            print::out(&report.text(args.json))?;
            report.verdict()
        }
    }
}

/// Shown on a terminal alone.
fn progress() -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{elapsed_precise} {msg} {wide_bar} {pos}/{len}, {per_sec}, {eta} left",
    )?))
}

/// Where the letters are.
#[derive(Debug, Clone)]
struct Log {
    client: KafkaClientConfig,
    topics: Topics,
    /// The topic of dead letters.
    topic: String,
    /// A name for readers; no such group is ever joined.
    reader: String,
    /// Replays of one installation fence each other by it.
    replayer: String,
}

impl Log {
    fn of(kafka: &KafkaConfig) -> Self {
        let topics = Topics::new(&kafka.topic_prefix);
        Self {
            client: KafkaClientConfig::from(kafka),
            topic: topics.dead_letters(),
            topics,
            reader: format!("{}-dead-letters", kafka.group_prefix),
            replayer: format!("{}-replay", kafka.group_prefix),
        }
    }
}
