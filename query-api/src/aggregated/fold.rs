//! Rollups, in the order of their bucket and group, become one row for each.

use std::ops::ControlFlow;

use schemas::{Rollup, Timestamp, event::SessionKind};

use super::group::Key;

/// Which part of a row a rollup belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Commands,
    Agents,
    /// Metrics of any type but productivity scores.
    Metrics,
    /// Metrics of the type `productivity_score`.
    Scores,
    Sessions(SessionKind),
}

impl Part {
    /// The part of a stored rollup with this kind and name; `None` if there is no such kind.
    pub(crate) fn of(kind: &str, name: &str) -> Option<Self> {
        Some(match (kind, name) {
            ("command", _) => Self::Commands,
            ("agent", _) => Self::Agents,
            ("metric", "productivity_score") => Self::Scores,
            ("metric", _) => Self::Metrics,
            ("session", "started") => Self::Sessions(SessionKind::Started),
            ("session", "updated") => Self::Sessions(SessionKind::Updated),
            ("session", "ended") => Self::Sessions(SessionKind::Ended),
            _ => return None,
        })
    }
}

/// One stored rollup, as far as rows are made of it. Each is read in place of the one before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredRollup {
    pub(crate) bucket_start: Timestamp,
    pub(crate) key: Key,
    pub(crate) part: Part,
    pub(crate) rollup: Rollup,
}

/// All rollups of one group in one bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) bucket_start: Timestamp,
    pub(crate) key: Key,
    pub(crate) commands: Rollup,
    pub(crate) agents: Rollup,
    /// All metrics.
    pub(crate) metrics: Rollup,
    /// The metrics among them that are productivity scores.
    pub(crate) scores: Rollup,
    pub(crate) sessions: Sessions,
}

/// The session events of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sessions {
    pub(crate) started: u64,
    pub(crate) updated: u64,
    pub(crate) ended: Rollup,
}

impl Group {
    pub(crate) fn empty(bucket_start: Timestamp, key: Key) -> Self {
        Self {
            bucket_start,
            key,
            commands: Rollup::default(),
            agents: Rollup::default(),
            metrics: Rollup::default(),
            scores: Rollup::default(),
            sessions: Sessions::default(),
        }
    }

    pub(crate) fn add(&mut self, part: Part, rollup: &Rollup) {
        let sessions = &mut self.sessions;
        let count = |n: &mut u64| *n = n.saturating_add(rollup.count);
        match part {
            Part::Commands => self.commands.merge(rollup),
            Part::Agents => self.agents.merge(rollup),
            Part::Metrics => self.metrics.merge(rollup),
            Part::Scores => {
                self.metrics.merge(rollup);
                self.scores.merge(rollup);
            }
            Part::Sessions(SessionKind::Started) => count(&mut sessions.started),
            Part::Sessions(SessionKind::Updated) => count(&mut sessions.updated),
            Part::Sessions(SessionKind::Ended) => sessions.ended.merge(rollup),
        }
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
    pub(crate) fn push(&mut self, stored: &StoredRollup) -> ControlFlow<()> {
        let StoredRollup {
            bucket_start,
            key,
            part,
            rollup,
        } = stored;
        let open = self.groups.last_mut();
        if let Some(group) = open.filter(|g| g.bucket_start == *bucket_start && g.key == *key) {
            group.add(*part, rollup);
        } else if self.groups.len() < self.limit {
            let mut group = Group::empty(*bucket_start, key.clone());
            group.add(*part, rollup);
            self.groups.push(group);
        } else {
            self.more = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Forgets the last group, of which not all may have come, and gives the one before it:
    /// after that all is to be read again.
    pub(crate) fn reopen(&mut self) -> Option<(Timestamp, Key)> {
        self.groups.pop();
        let last = self.groups.last()?;
        Some((last.bucket_start, last.key.clone()))
    }

    /// The groups, and whether there are more after them.
    pub(crate) fn finish(self) -> (Vec<Group>, bool) {
        (self.groups, self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bucket: i64, name: &str, part: Part, count: u64) -> StoredRollup {
        StoredRollup {
            bucket_start: Timestamp::from_millis(bucket).unwrap(),
            key: Key::Name(Some(name.to_owned())),
            part,
            rollup: Rollup {
                count,
                ..Rollup::default()
            },
        }
    }

    fn page(limit: usize) -> (Vec<(String, u64, u64, u64)>, bool) {
        let all = [
            stored(0, "a", Part::Commands, 1),
            stored(0, "a", Part::Agents, 2),
            stored(0, "a", Part::Commands, 4),
            stored(0, "b", Part::Metrics, 8),
            stored(1, "b", Part::Metrics, 16),
        ];
        let mut page = Page::new(limit);
        for one in all {
            if page.push(&one).is_break() {
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
            ("Name(Some(\"a\"))@0".to_owned(), 5, 2, 0),
            ("Name(Some(\"b\"))@0".to_owned(), 0, 0, 8),
            ("Name(Some(\"b\"))@1".to_owned(), 0, 0, 16),
        ];
        assert_eq!((groups.as_slice(), more), (&expected[..], false));
    }

    #[test]
    fn scores_are_metrics_and_sessions_are_told_apart_by_kind() {
        let mut page = Page::new(1);
        for (part, count) in [
            (Part::Metrics, 1),
            (Part::Scores, 2),
            (Part::Sessions(SessionKind::Started), 4),
            (Part::Sessions(SessionKind::Updated), 8),
            (Part::Sessions(SessionKind::Ended), 16),
            (Part::Sessions(SessionKind::Started), 32),
        ] {
            assert!(page.push(&stored(0, "", part, count)).is_continue());
        }
        let group = &page.finish().0[0];
        let sessions = &group.sessions;
        assert_eq!((group.metrics.count, group.scores.count), (3, 2));
        assert_eq!((sessions.started, sessions.updated), (36, 8));
        assert_eq!(sessions.ended.count, 16);
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
    fn a_group_that_may_not_be_whole_is_read_again() {
        let mut page = Page::new(2);
        assert_eq!(page.reopen(), None);
        for (name, count) in [("a", 1), ("b", 2)] {
            assert!(
                page.push(&stored(0, name, Part::Commands, count))
                    .is_continue()
            );
        }
        let a = (
            Timestamp::from_millis(0).unwrap(),
            Key::Name(Some("a".to_owned())),
        );
        assert_eq!(page.reopen(), Some(a));
        for count in [2, 4] {
            assert!(
                page.push(&stored(0, "b", Part::Commands, count))
                    .is_continue()
            );
        }
        let (groups, _) = page.finish();
        let counts: Vec<_> = groups.iter().map(|group| group.commands.count).collect();
        assert_eq!(counts, [1, 6]);
    }

    #[test]
    fn no_rollups_are_no_rows() {
        assert_eq!(Page::new(1).finish(), (Vec::new(), false));
    }
}
