//! `flowmeter dead-letters list`.

use clap::Args;
use indicatif::ProgressBar;
use platform::config::KafkaConfig;
use platform::lifecycle::Shutdown;
use serde_json::{Value, json};

use super::filter::{FilterArgs, State};
use super::groups::{Dimension, Group, group};
use super::print::{plain, table};
use super::{Letter, Log, UNKNOWN, scan};

/// Arguments of `flowmeter dead-letters list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Which letters
    #[command(flatten)]
    pub filter: FilterArgs,
    /// What has been done about them
    #[arg(long, value_enum, default_value_t = State::Open)]
    pub state: State,
    /// What letters of a group have in common, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["reason", "client"])]
    pub group_by: Vec<Dimension>,
    /// List letters one by one, the oldest record first, as replay sends them
    #[arg(long)]
    pub each: bool,
    /// Lines at most: the largest groups, or the oldest letters
    #[arg(long)]
    pub limit: Option<usize>,
    /// Print an object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

impl ListArgs {
    fn one_by_one(&self) -> bool {
        self.each || self.group_by.contains(&Dimension::None)
    }
}

/// What was found.
#[derive(Debug)]
pub struct Listing {
    /// How many letters there are, whatever the limit.
    pub total: usize,
    /// The groups, if they are grouped.
    pub groups: Vec<Group>,
    /// The letters, if they are not.
    pub letters: Vec<Letter>,
}

/// Reads the letters and groups them.
///
/// # Errors
/// When the topic cannot be read.
pub async fn list(
    kafka: &KafkaConfig,
    args: &ListArgs,
    progress: &ProgressBar,
) -> anyhow::Result<Listing> {
    let (log, args, progress) = (Log::of(kafka), args.clone(), progress.clone());
    let read = move || {
        let ledger = scan::ledger(&log, &args.filter, &progress, &Shutdown::new())?;
        let mut letters = ledger.into_letters(args.state, None);
        let total = letters.len();
        let mut groups = Vec::new();
        let limit = args.limit.unwrap_or(usize::MAX);
        if args.one_by_one() {
            letters.truncate(limit);
        } else {
            groups = group(&letters, &args.group_by);
            groups.truncate(limit);
            letters.clear();
        }
        Ok(Listing {
            total,
            groups,
            letters,
        })
    };
    tokio::task::spawn_blocking(read).await?
}

impl Listing {
    /// What is printed.
    pub(super) fn text(&self, args: &ListArgs) -> String {
        if args.json {
            let groups = self.groups.iter().map(|g| g.json(&args.group_by));
            let lines = groups.chain(self.letters.iter().map(json_of));
            return lines.map(|line| format!("{line}\n")).collect();
        }
        if self.total == 0 {
            return "no dead letters\n".to_owned();
        }
        if args.one_by_one() {
            let rows: Vec<_> = self.letters.iter().map(row_of).collect();
            let head = ["time", "source", "reason", "client", "state", "message"];
            return table(&head, &[], &rows) + &rest(self.total, rows.len(), "letters");
        }
        let counted = self.groups.iter().map(|g| g.count).sum();
        groups_table(&self.groups, &args.group_by) + &rest(self.total, counted, "letters")
    }
}

/// A table of groups.
pub(super) fn groups_table(groups: &[Group], dimensions: &[Dimension]) -> String {
    let mut head: Vec<_> = dimensions.iter().map(|d| d.name()).collect();
    head.extend(["count", "first", "last", "example", "message"]);
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            let mut row: Vec<_> = group.key.iter().map(|text| plain(text)).collect();
            row.extend([
                group.count.to_string(),
                group.first.to_string(),
                group.last.to_string(),
                plain(&group.example.to_string()),
                plain(&group.message),
            ]);
            row
        })
        .collect();
    table(&head, &[dimensions.len()], &rows)
}

fn rest(total: usize, shown: usize, what: &str) -> String {
    match total - shown {
        0 => format!("{total} {what}\n"),
        more => format!("{total} {what}, {more} of them not shown\n"),
    }
}

fn row_of(letter: &Letter) -> Vec<String> {
    vec![
        letter.recorded_at.to_string(),
        plain(&letter.source().to_string()),
        plain(&letter.reason),
        letter.client.as_deref().unwrap_or(UNKNOWN).to_owned(),
        letter
            .replayed_at
            .map_or_else(|| "open".to_owned(), |at| format!("replayed {at}")),
        plain(&letter.message),
    ]
}

fn json_of(letter: &Letter) -> Value {
    json!({
        "source": letter.source().to_string(),
        "recorded_at": letter.recorded_at.to_string(),
        "reason": &*letter.reason,
        "message": &*letter.message,
        "client": letter.client.as_deref(),
        "organization_id": letter.organization,
        "event_id": letter.event_id,
        "replayed_at": letter.replayed_at.map(|at| at.to_string()),
        "partition": letter.partition,
        "offset": letter.offset,
    })
}
