//! Rollups of the range become what is told of it: in all, by bucket, and by name.

use std::{cmp::Reverse, collections::BTreeMap};

use schemas::{Rollup, Timestamp};

use crate::{
    aggregated::{
        fold::{Group, Part},
        group::Key,
    },
    rollups::Row,
};

/// What the rollups of the range add up to.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) total: Group,
    /// Those buckets in which there was something.
    pub(super) buckets: BTreeMap<Timestamp, Group>,
    pub(super) commands: BTreeMap<String, Rollup>,
    pub(super) agents: BTreeMap<String, Rollup>,
    pub(super) models: BTreeMap<Option<String>, Rollup>,
}

impl Current {
    pub(super) fn new() -> Self {
        Self {
            total: all_of(Timestamp::MIN),
            buckets: BTreeMap::new(),
            commands: BTreeMap::new(),
            agents: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, row: &Row) {
        let Row {
            bucket_start,
            part,
            name,
            model,
            rollup,
        } = row;
        self.total.add(*part, rollup);
        let bucket = self.buckets.entry(*bucket_start);
        let bucket = bucket.or_insert_with(|| all_of(*bucket_start));
        bucket.add(*part, rollup);
        match part {
            Part::Commands => self.commands.entry(name.clone()).or_default().merge(rollup),
            Part::Agents => {
                self.agents.entry(name.clone()).or_default().merge(rollup);
                self.models.entry(model.clone()).or_default().merge(rollup);
            }
            Part::Metrics | Part::Scores | Part::Sessions(_) => {}
        }
    }
}

/// Nothing yet, of everything in a bucket.
pub(super) fn all_of(bucket_start: Timestamp) -> Group {
    Group::empty(bucket_start, Key::All)
}

/// Those that were used the most, at most so many; of equal ones the first by name.
pub(super) fn top<K: Ord>(all: BTreeMap<K, Rollup>, most: usize) -> Vec<(K, Rollup)> {
    let mut all: Vec<_> = all.into_iter().collect();
    // Stable, and names are in order.
    all.sort_by_key(|(_, rollup)| Reverse(rollup.count));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bucket: i64, part: Part, name: &str, model: Option<&str>, count: u64) -> Row {
        Row {
            bucket_start: Timestamp::from_millis(bucket).unwrap(),
            part,
            name: name.to_owned(),
            model: model.map(str::to_owned),
            rollup: Rollup {
                count,
                ..Rollup::default()
            },
        }
    }

    #[test]
    fn every_rollup_counts_in_all_its_bucket_its_name_and_its_model() {
        let mut current = Current::new();
        for row in [
            row(0, Part::Commands, "a", None, 1),
            row(1, Part::Commands, "a", None, 2),
            row(1, Part::Commands, "b", None, 3),
            row(0, Part::Agents, "a", None, 4),
            row(0, Part::Agents, "a", Some("m"), 5),
            row(1, Part::Agents, "b", Some("m"), 6),
            row(1, Part::Scores, "productivity_score", None, 7),
        ] {
            current.add(&row);
        }
        let total = &current.total;
        let counts = (total.commands.count, total.agents.count, total.scores.count);
        assert_eq!(counts, (6, 15, 7));
        let of_buckets = current.buckets.values();
        let counts: Vec<_> = of_buckets
            .map(|b| (b.commands.count, b.agents.count))
            .collect();
        assert_eq!(counts, [(1, 9), (5, 6)]);
        let named = |all: BTreeMap<String, Rollup>, most| -> Vec<(String, u64)> {
            let top = top(all, most).into_iter();
            top.map(|(name, rollup)| (name, rollup.count)).collect()
        };
        let pair = |name: &str, count| (name.to_owned(), count);
        assert_eq!(named(current.commands, 5), [pair("a", 3), pair("b", 3)]);
        assert_eq!(named(current.agents, 1), [pair("a", 9)]);
        let models = top(current.models, 5).into_iter();
        let models: Vec<_> = models.map(|(model, r)| (model, r.count)).collect();
        assert_eq!(models, [(Some("m".to_owned()), 11), (None, 4)]);
    }
}
