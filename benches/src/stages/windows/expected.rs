//! The right answer, the plain way: every event is added to its 15 buckets.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context as _, ensure};
use schemas::event::Status;

use crate::workload::{Workload, series::Series};

const WINDOWS: [(&str, i64); 5] = [
    ("1m", 60),
    ("5m", 300),
    ("15m", 900),
    ("1h", 3_600),
    ("1d", 86_400),
];
const SCOPES: [&str; 3] = ["organization", "team", "user"];

/// Count, errors, sum, minimum and maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sums([u64; 5]);

/// The rows of the right answer.
#[derive(Debug)]
pub(super) struct Expected {
    /// By the line up to the count.
    rows: HashMap<String, Sums>,
}

impl Expected {
    pub(super) fn of(seed: u64, events: u64, series: u32) -> Self {
        let mut workload = Workload::new(seed, series);
        // By number of a group, window and bucket; groups are what a scope tells apart.
        let mut groups: HashMap<String, usize> = HashMap::new();
        let group_of: Vec<[usize; 3]> = workload
            .series()
            .iter()
            .map(|series| {
                SCOPES.map(|scope| {
                    let next = groups.len();
                    *groups.entry(prefix(scope, series)).or_insert(next)
                })
            })
            .collect();
        let mut sums: HashMap<(usize, usize, i64), Sums> = HashMap::new();
        for _ in 0..events {
            let draft = workload.draft();
            let seconds = draft.timestamp_micros.div_euclid(1_000_000);
            let millis = u64::from(draft.millis);
            let errors = u64::from(draft.status == Status::Error);
            for group in group_of[draft.series as usize] {
                for (window, (_, length)) in WINDOWS.iter().enumerate() {
                    let bucket = seconds.div_euclid(*length) * length;
                    let sum = sums.entry((group, window, bucket));
                    let Sums(sum) = sum.or_insert(Sums([0, 0, 0, u64::MAX, 0]));
                    sum[0] += 1;
                    sum[1] += errors;
                    sum[2] += millis;
                    sum[3] = sum[3].min(millis);
                    sum[4] = sum[4].max(millis);
                }
            }
        }
        let mut names = vec![String::new(); groups.len()];
        for (name, number) in groups {
            names[number] = name;
        }
        let rows = sums.into_iter().map(|((group, window, bucket), sums)| {
            let (scope, rest) = names[group].split_once(',').unwrap_or_default();
            (
                format!("{scope},{},{rest},{bucket}", WINDOWS[window].0),
                sums,
            )
        });
        Self {
            rows: rows.collect(),
        }
    }

    /// That a file holds these rows, each once, and no other.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn check(&self, path: &Path) -> anyhow::Result<()> {
        let file = File::open(path).context("there is no result")?;
        let mut found = 0;
        for line in BufReader::new(file).lines() {
            let line = line?;
            let fields: Vec<&str> = line.rsplitn(6, ',').collect();
            ensure!(fields.len() == 6, "a wrong answer: {line}");
            let mut numbers = [0; 5];
            for (number, field) in numbers.iter_mut().zip(fields[..5].iter().rev()) {
                *number = field
                    .parse()
                    .with_context(|| format!("no number in {line}"))?;
            }
            let expected = self.rows.get(fields[5]);
            ensure!(
                expected == Some(&Sums(numbers)),
                "a wrong answer: {line}, expected {expected:?}"
            );
            found += 1;
        }
        let rows = self.rows.len();
        ensure!(
            found == rows,
            "a wrong answer: {found} rows, expected {rows}"
        );
        Ok(())
    }
}

fn prefix(scope: &str, series: &Series) -> String {
    let Series {
        organization,
        team,
        user,
        name,
    } = series;
    match scope {
        "organization" => format!("{scope},{organization},,,{name}"),
        "team" => format!("{scope},{organization},{team},,{name}"),
        _ => format!("{scope},{organization},{team},{user},{name}"),
    }
}
