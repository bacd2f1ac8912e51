//! How far each partition is read, and how far it is written.

use std::collections::BTreeMap;

use platform::kafka::consumer::{OffsetGone, TopicPartition, start_offset};

/// The cursors of the partitions that this session owns.
#[derive(Debug, Default)]
pub(crate) struct Cursors(BTreeMap<TopicPartition, Cursor>);

#[derive(Debug)]
struct Cursor {
    /// What the database says; `None` while it says nothing.
    stored: Option<i64>,
    /// The next offset to read.
    next: i64,
    /// Whether records were read that are not written.
    moved: bool,
}

/// What a transaction does to one cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CursorMove {
    pub(crate) partition: TopicPartition,
    /// What the database must say before.
    pub(crate) from: Option<i64>,
    pub(crate) to: i64,
}

/// The database says something else than this session last wrote: another instance owns the
/// partition, or somebody moved the cursor by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cursor of {partition} is {found:?}, expected {expected:?}")]
pub(crate) struct Fenced {
    pub(crate) partition: TopicPartition,
    pub(crate) expected: Option<i64>,
    pub(crate) found: Option<i64>,
}

impl Cursors {
    /// A partition is ours, from `start` on.
    pub(crate) fn assign(&mut self, partition: TopicPartition, stored: Option<i64>, start: i64) {
        let cursor = Cursor {
            stored,
            next: start,
            moved: false,
        };
        self.0.insert(partition, cursor);
    }

    /// Partitions are no longer ours.
    pub(crate) fn release(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.0.remove(partition);
        }
    }

    /// Which partitions are ours.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        self.0.keys().cloned().collect()
    }

    /// A record was read. `false` when it is none of ours: not assigned, or read before.
    pub(crate) fn read(&mut self, partition: &TopicPartition, offset: i64) -> bool {
        match self.0.get_mut(partition) {
            Some(cursor) if offset >= cursor.next => {
                cursor.next = offset + 1;
                cursor.moved = true;
                true
            }
            _ => false,
        }
    }

    /// The moves that what was read since the last [`written`](Self::written) asks for,
    /// sorted by partition.
    pub(crate) fn moves(&self) -> Vec<CursorMove> {
        self.0
            .iter()
            .filter(|(_, cursor)| cursor.moved)
            .map(|(partition, cursor)| CursorMove {
                partition: partition.clone(),
                from: cursor.stored,
                to: cursor.next,
            })
            .collect()
    }

    /// These moves are in the database.
    pub(crate) fn written(&mut self, moves: &[CursorMove]) {
        for CursorMove { partition, to, .. } in moves {
            if let Some(cursor) = self.0.get_mut(partition) {
                cursor.stored = Some(*to);
                cursor.moved = cursor.next != *to;
            }
        }
    }
}

/// Whether the database says what the moves expect; `stored` looks a cursor up.
pub(crate) fn check(
    moves: &[CursorMove],
    stored: impl Fn(&TopicPartition) -> Option<i64>,
) -> Result<(), Fenced> {
    for CursorMove {
        partition, from, ..
    } in moves
    {
        let found = stored(partition);
        if found != *from {
            return Err(Fenced {
                partition: partition.clone(),
                expected: *from,
                found,
            });
        }
    }
    Ok(())
}

/// Where to begin a partition of which the log has `low` up to `high`, if nothing is missing.
///
/// A transaction ends with a mark that takes an offset and is never delivered, so the cursor
/// of a quiet partition stays one before the end. Once retention has removed everything, that
/// mark is missing, which is no loss: had a record gone, its mark would have gone too. The
/// aggregator's transactions alone write the topics that are read here.
pub(crate) fn start(cursor: Option<i64>, low: i64, high: i64) -> Result<i64, OffsetGone> {
    start_offset(cursor, low, high).or_else(|gone| {
        if gone.low == gone.wanted + 1 {
            Ok(gone.low)
        } else {
            Err(gone)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_mark_is_no_loss_and_a_missing_record_is() {
        assert_eq!(start(Some(9), 10, 10), Ok(10));
        // A record and its mark.
        assert!(start(Some(8), 10, 10).is_err());
        // A log that was made anew.
        assert!(start(Some(9), 0, 3).is_err());
        assert_eq!(start(None, 10, 12), Ok(10));
    }

    fn partition(n: i32) -> TopicPartition {
        TopicPartition::new("t", n)
    }

    #[test]
    fn offsets_have_gaps_and_are_read_once() {
        let mut cursors = Cursors::default();
        cursors.assign(partition(0), Some(5), 5);
        cursors.assign(partition(1), None, 0);
        assert_eq!(cursors.moves(), []);
        // 5 was a transaction's marker.
        assert!(cursors.read(&partition(0), 6));
        assert!(!cursors.read(&partition(0), 6));
        assert!(cursors.read(&partition(0), 9));
        assert!(!cursors.read(&partition(2), 0));
        let moves = cursors.moves();
        let expected = CursorMove {
            partition: partition(0),
            from: Some(5),
            to: 10,
        };
        assert_eq!(moves, [expected]);
        cursors.written(&moves);
        assert_eq!(cursors.moves(), []);
        cursors.read(&partition(0), 10);
        assert_eq!(cursors.moves()[0].from, Some(10));
        cursors.release(&[partition(0)]);
        assert!(!cursors.read(&partition(0), 11));
    }

    #[test]
    fn another_cursor_than_expected_fences() {
        let moves = [CursorMove {
            partition: partition(0),
            from: None,
            to: 3,
        }];
        assert_eq!(check(&moves, |_| None), Ok(()));
        let fenced = check(&moves, |_| Some(2)).unwrap_err();
        assert_eq!((fenced.expected, fenced.found), (None, Some(2)));
        let moves = [CursorMove {
            from: Some(2),
            ..moves[0].clone()
        }];
        assert_eq!(check(&moves, |_| Some(2)), Ok(()));
        assert!(check(&moves, |_| Some(3)).is_err());
        assert!(check(&moves, |_| None).is_err());
    }
}
