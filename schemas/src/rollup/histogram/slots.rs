//! Counts by slot: a list of those above zero while they are few, then all counts from the first
//! to the last in a row, which add up without searching.

use std::iter::repeat_n;

/// So many are a list. They take half of the memory there that they take at most in a row, and
/// adding two lists up takes as long as adding two rows up.
const FEW: usize = 32;

/// Counts by slot. Equal counts are kept in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slots {
    /// At most [`FEW`] slots and their counts, ascending, counts above zero.
    Few(Vec<(u16, u64)>),
    /// More than that: the first slot, its count and those of the slots after it. The first count
    /// and the last are above zero.
    Many {
        /// The first slot.
        first: u16,
        /// From it on.
        counts: Vec<u64>,
    },
}

impl Default for Slots {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Slots {
    /// Of slots and counts, ascending, counts above zero.
    pub(super) fn of(slots: Vec<(u16, u64)>) -> Self {
        match (slots.first(), slots.last()) {
            (Some(&(first, _)), Some(&(last, _))) if slots.len() > FEW => {
                let mut counts = vec![0; usize::from(last - first) + 1];
                for (slot, count) in slots {
                    counts[usize::from(slot - first)] = count;
                }
                Self::Many { first, counts }
            }
            _ => Self::Few(slots),
        }
    }

    /// An empty list, in the memory of this one.
    pub(super) fn into_memory(self) -> Vec<(u16, u64)> {
        match self {
            Self::Few(mut slots) => {
                slots.clear();
                slots
            }
            Self::Many { .. } => Vec::new(),
        }
    }

    /// Slots and counts, ascending, counts above zero.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        let (few, first, many): (&[(u16, u64)], u16, &[u64]) = match self {
            Self::Few(slots) => (slots, 0, &[]),
            Self::Many { first, counts } => (&[], *first, counts),
        };
        let many = (first..).zip(many.iter().copied());
        let many = many.filter(|(_, count)| *count > 0);
        few.iter().copied().chain(many)
    }

    /// At least as many as there are slots with counts.
    pub(super) fn places(&self) -> usize {
        match self {
            Self::Few(slots) => slots.len(),
            Self::Many { counts, .. } => counts.len(),
        }
    }

    /// Adds to one count.
    pub(super) fn add(&mut self, slot: u16, count: u64) {
        match self {
            Self::Few(slots) => {
                add_to(slots, slot, count);
                self.settle();
            }
            Self::Many { first, counts } => {
                widen(first, counts, slot, slot);
                let sum = &mut counts[usize::from(slot - *first)];
                *sum = sum.saturating_add(count);
            }
        }
    }

    /// Adds all counts of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Few(mine), Self::Few(theirs)) => {
                merge_lists(mine, theirs);
                self.settle();
            }
            (Self::Few(mine), Self::Many { .. }) => {
                let mine = std::mem::take(mine);
                self.clone_from(other);
                mine.into_iter()
                    .for_each(|(slot, count)| self.add(slot, count));
            }
            (Self::Many { .. }, Self::Few(theirs)) => {
                theirs
                    .iter()
                    .for_each(|&(slot, count)| self.add(slot, count));
            }
            (
                Self::Many { first, counts },
                Self::Many {
                    first: their_first,
                    counts: theirs,
                },
            ) => {
                // Both have more than FEW.
                let their_last = *their_first + (theirs.len() - 1) as u16;
                widen(first, counts, *their_first, their_last);
                let mine = &mut counts[usize::from(their_first - *first)..];
                for (sum, count) in mine.iter_mut().zip(theirs) {
                    *sum = sum.saturating_add(*count);
                }
            }
        }
    }

    /// A list that has become too long is a row from now on.
    fn settle(&mut self) {
        if let Self::Few(slots) = self
            && slots.len() > FEW
        {
            *self = Self::of(std::mem::take(slots));
        }
    }
}

/// Makes a row reach from `from` to `to` at least.
fn widen(first: &mut u16, counts: &mut Vec<u64>, from: u16, to: u16) {
    if from < *first {
        counts.splice(0..0, repeat_n(0, usize::from(*first - from)));
        *first = from;
    }
    let length = usize::from(to.saturating_sub(*first)) + 1;
    if length > counts.len() {
        counts.resize(length, 0);
    }
}

fn add_to(slots: &mut Vec<(u16, u64)>, slot: u16, count: u64) {
    match slots.binary_search_by_key(&slot, |(s, _)| *s) {
        Ok(i) => slots[i].1 = slots[i].1.saturating_add(count),
        Err(i) => slots.insert(i, (slot, count)),
    }
}

fn merge_lists(mine: &mut Vec<(u16, u64)>, theirs: &[(u16, u64)]) {
    // Searching for each slot costs its logarithm, and moving the ones after a new slot
    // costs more; going through both once is cheaper unless there are few.
    if theirs.len() * 8 < mine.len() || theirs.len() == 1 {
        for &(slot, count) in theirs {
            add_to(mine, slot, count);
        }
        return;
    }
    let missing = add_where_there(mine, theirs);
    if missing > 0 {
        insert_missing(mine, theirs, missing);
    }
}

/// Adds the counts of slots that are there; tells how many are not.
fn add_where_there(mine: &mut [(u16, u64)], theirs: &[(u16, u64)]) -> usize {
    let mut mine = mine.iter_mut().peekable();
    let mut missing = 0;
    for (slot, count) in theirs {
        while mine.next_if(|(s, _)| s < slot).is_some() {}
        match mine.next_if(|(s, _)| s == slot) {
            Some((_, sum)) => *sum = sum.saturating_add(*count),
            None => missing += 1,
        }
    }
    missing
}

/// Takes the `missing` slots of `theirs` that are not in `mine` over, in place: from the last
/// on, each slot is moved at most once.
fn insert_missing(mine: &mut Vec<(u16, u64)>, theirs: &[(u16, u64)], missing: usize) {
    let mut read = mine.len();
    let mut write = read + missing;
    mine.resize(write, (0, 0));
    for &(slot, count) in theirs.iter().rev() {
        while read > 0 && mine[read - 1].0 > slot {
            (read, write) = (read - 1, write - 1);
            mine[write] = mine[read];
        }
        if read > 0 && mine[read - 1].0 == slot {
            continue;
        }
        write -= 1;
        mine[write] = (slot, count);
        if read == write {
            // What is before is where it was.
            return;
        }
    }
}
