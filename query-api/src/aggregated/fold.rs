//! Rollups, in the order of their bucket and group, become one row for each.

use std::ops::ControlFlow;

use schemas::{Rollup, Timestamp, rollup::SeriesKind};

use super::group::Key;

/// One stored rollup, as far as rows are made of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredRollup {
    pub(crate) bucket_start: Timestamp,
    pub(crate) key: Key,
    pub(crate) kind: SeriesKind,
    pub(crate) rollup: Rollup,
}

/// All rollups of one group in one bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) bucket_start: Timestamp,
    pub(crate) key: Key,
    pub(crate) commands: Rollup,
    pub(crate) agents: Rollup,
    pub(crate) metrics: Rollup,
}

impl Group {
    fn empty(bucket_start: Timestamp, key: Key) -> Self {
        Self {
            bucket_start,
            key,
            commands: Rollup::default(),
            agents: Rollup::default(),
            metrics: Rollup::default(),
        }
    }

    fn add(&mut self, kind: SeriesKind, rollup: &Rollup) {
        let sum = match kind {
            SeriesKind::Command => &mut self.commands,
            SeriesKind::Agent => &mut self.agents,
            SeriesKind::Metric => &mut self.metrics,
        };
        sum.merge(rollup);
    }
}

/// A page as it fills.
#[derive(Debug)]
pub(crate) struct Page {
    limit: usize,
    groups: Vec<Group>,
    more: bool,
}

impl Page {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            groups: Vec::new(),
            more: false,
        }
    }

    /// Takes the next rollup; breaks when it belongs to the page after.
    pub(crate) fn push(&mut self, stored: StoredRollup) -> ControlFlow<()> {
        let StoredRollup {
            bucket_start,
            key,
            kind,
            rollup,
        } = stored;
        let open = self.groups.last_mut();
        if let Some(group) = open.filter(|g| g.bucket_start == bucket_start && g.key == key) {
            group.add(kind, &rollup);
        } else if self.groups.len() < self.limit {
            let mut group = Group::empty(bucket_start, key);
            group.add(kind, &rollup);
            self.groups.push(group);
        } else {
            self.more = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// The groups, and whether there are more after them.
    pub(crate) fn finish(self) -> (Vec<Group>, bool) {
        (self.groups, self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bucket: i64, name: &str, kind: SeriesKind, count: u64) -> StoredRollup {
        StoredRollup {
            bucket_start: Timestamp::from_millis(bucket).unwrap(),
            key: Key::Name(name.to_owned()),
            kind,
            rollup: Rollup {
                count,
                ..Rollup::default()
            },
        }
    }

    fn page(limit: usize) -> (Vec<(String, u64, u64, u64)>, bool) {
        let all = [
            stored(0, "a", SeriesKind::Command, 1),
            stored(0, "a", SeriesKind::Agent, 2),
            stored(0, "a", SeriesKind::Command, 4),
            stored(0, "b", SeriesKind::Metric, 8),
            stored(1, "b", SeriesKind::Metric, 16),
        ];
        let mut page = Page::new(limit);
        for one in all {
            if page.push(one).is_break() {
                break;
            }
        }
        let (groups, more) = page.finish();
        let figures = groups.into_iter().map(|g| {
            let at = format!("{:?}@{}", g.key, g.bucket_start.micros() / 1000);
            (at, g.commands.count, g.agents.count, g.metrics.count)
        });
        (figures.collect(), more)
    }

    #[test]
    fn a_group_is_the_sum_of_its_rollups_by_kind() {
        let (groups, more) = page(3);
        let expected = [
            ("Name(\"a\")@0".to_owned(), 5, 2, 0),
            ("Name(\"b\")@0".to_owned(), 0, 0, 8),
            ("Name(\"b\")@1".to_owned(), 0, 0, 16),
        ];
        assert_eq!((groups.as_slice(), more), (&expected[..], false));
    }

    #[test]
    fn a_full_page_says_whether_there_are_more() {
        for (limit, more) in [(1, true), (2, true), (3, false), (4, false)] {
            let (groups, found) = page(limit);
            assert_eq!((groups.len(), found), (limit.min(3), more), "{limit}");
        }
        // The last group of a page is whole.
        assert_eq!(page(1).0[0].1, 5);
    }

    #[test]
    fn no_rollups_are_no_rows() {
        assert_eq!(Page::new(1).finish(), (Vec::new(), false));
    }
}
