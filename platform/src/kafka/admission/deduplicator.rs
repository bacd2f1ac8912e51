//! Which event was there before. Pure: the log's time is an argument.
//!
//! What is said of a record follows from the sound records of its partition within one
//! horizon of log time before it, and from nothing else. So a consumer that starts anywhere,
//! after it has read one horizon, says what one that read everything says.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::time::Duration;

use schemas::{Event, Timestamp};

/// Ids are forgotten in slices of a horizon's fourth, as a whole: a slice costs nothing to
/// forget, and no more than five fourths of a horizon is kept.
const SLICES: i64 = 4;

/// What a record's id says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// No record within the horizon has its id.
    First,
    /// The last one that has says the same: the event was sent again.
    Again,
    /// The last one that has says something else.
    Conflicting,
}

/// The ids of one partition's last sound records.
///
/// An id takes 24 bytes and its share of a hash table's free places: 28 to 57 bytes.
#[derive(Debug)]
pub struct Deduplicator {
    horizon_ms: i64,
    keys: [RandomState; 2],
    /// Oldest first.
    slices: VecDeque<Slice>,
}

#[derive(Debug)]
struct Slice {
    began_ms: i64,
    /// By identity: when it was last seen, in milliseconds since the slice began, and with
    /// which content.
    seen: HashMap<Identity, (i32, u32), BuildHasherDefault<FirstHalf>>,
}

/// An organization's id and an event's, hashed with two keys that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity([u64; 2]);

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// The hash of an [`Identity`]: its first half is one already.
#[derive(Debug, Default)]
struct FirstHalf(u64);

impl Hasher for FirstHalf {
    fn write(&mut self, _: &[u8]) {
        unreachable!("an identity writes a number");
    }

    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Deduplicator {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(horizon: Duration) -> Self {
        Self {
            horizon_ms: i64::try_from(horizon.as_millis()).unwrap_or(i64::MAX),
            keys: [RandomState::new(), RandomState::new()],
            slices: VecDeque::new(),
        }
    }

    /// Takes note of a sound record, in the log's order, and says whether its event was there
    /// before.
    pub fn see(&mut self, event: &Event, log_time: Timestamp) -> Sighting {
        let common = event.common();
        // Ids are each organization's own: what one of them chooses must not stand in the way
        // of another's events. Both are hashed to as many bits as an id has, with keys that
        // nobody knows, so that nobody can seek ids that meet. In halves, whose alignment
        // costs less than the whole's.
        let identity = (common.organization_id, common.event_id);
        let identity = self.keys.each_ref().map(|key| key.hash_one(identity));
        self.see_id(Identity(identity), event.content_hash(), log_time)
    }

    fn see_id(&mut self, id: Identity, content: u32, log_time: Timestamp) -> Sighting {
        let now = log_time.micros().div_euclid(1000);
        let when = |slice: &Slice, (after, content)| (slice.began_ms + i64::from(after), content);
        let slice = self.slice_of(now);
        let after = i32::try_from(now - slice.began_ms).unwrap_or_default();
        let replaced = slice.seen.insert(id, (after, content));
        let replaced = replaced.map(|seen| when(slice, seen));
        // What is forgotten by now was seen too long ago to matter.
        let last = replaced.or_else(|| {
            let mut older = self.slices.iter().rev().skip(1);
            older.find_map(|slice| Some(when(slice, *slice.seen.get(&id)?)))
        });
        match last {
            Some((at, before)) if now - at <= self.horizon_ms => {
                if before == content {
                    Sighting::Again
                } else {
                    Sighting::Conflicting
                }
            }
            _ => Sighting::First,
        }
    }

    /// The slice that `now` belongs to. A clock that a new leader set back goes on in the
    /// newest one, with a time before its beginning.
    fn slice_of(&mut self, now: i64) -> &mut Slice {
        let length = (self.horizon_ms / SLICES).clamp(1, i64::from(i32::MAX));
        let is_over = |slice: &Slice| now - slice.began_ms >= length;
        // Whatever is in a slice was seen before the next one began.
        while self.slices.len() > 1 && now - self.slices[1].began_ms > self.horizon_ms {
            self.slices.pop_front();
        }
        if self.slices.back().is_none_or(is_over) {
            self.slices.push_back(Slice {
                began_ms: now,
                seen: HashMap::default(),
            });
        }
        self.slices.back_mut().expect("one was just made")
    }

    /// How many ids it holds; one seen in several slices counts in each.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slices.iter().map(|slice| slice.seen.len()).sum()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HORIZON: i64 = 60_000;

    fn new() -> Deduplicator {
        Deduplicator::new(Duration::from_millis(60_000))
    }

    fn see(dedup: &mut Deduplicator, id: u64, content: u32, millis: i64) -> Sighting {
        dedup.see_id(
            Identity([id, 0]),
            content,
            Timestamp::from_millis(millis).unwrap(),
        )
    }

    #[test]
    fn an_id_is_known_for_one_horizon_after_it_was_last_seen() {
        let mut dedup = new();
        assert_eq!(see(&mut dedup, 1, 7, 0), Sighting::First);
        assert_eq!(see(&mut dedup, 2, 7, 0), Sighting::First);
        assert_eq!(see(&mut dedup, 1, 7, 0), Sighting::Again);
        assert_eq!(see(&mut dedup, 1, 8, HORIZON), Sighting::Conflicting);
        assert_eq!(see(&mut dedup, 1, 8, 2 * HORIZON), Sighting::Again);
        assert_eq!(see(&mut dedup, 2, 7, 2 * HORIZON), Sighting::First);
        assert_eq!(see(&mut dedup, 1, 8, 3 * HORIZON + 1), Sighting::First);
    }

    #[test]
    fn a_clock_that_is_set_back_forgets_nothing() {
        let mut dedup = new();
        see(&mut dedup, 1, 7, 100_000);
        assert_eq!(see(&mut dedup, 2, 7, 40_000), Sighting::First);
        assert_eq!(see(&mut dedup, 1, 7, 40_000), Sighting::Again);
        assert_eq!(see(&mut dedup, 2, 7, 100_000), Sighting::Again);
    }

    #[test]
    fn what_no_record_can_repeat_is_forgotten() {
        let mut dedup = new();
        // Ten horizons, a thousand ids each.
        for n in 0..10_000_u64 {
            let millis = i64::try_from(n).unwrap() * HORIZON / 1000;
            see(&mut dedup, n, 0, millis);
            assert!(dedup.len() <= 1000 * 5 / 4 + 2, "{}", dedup.len());
        }
    }

    proptest! {
        /// What it says is what a look at the log says, and a consumer that starts anywhere
        /// says the same once it has read one horizon.
        #[test]
        fn it_says_what_the_log_says_wherever_reading_begins(
            log in prop::collection::vec((0u64..12, 0u32..3, 0i64..20_000), 1..200),
            starts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut now = 0;
            let log: Vec<_> = log.into_iter().map(|(id, content, step)| {
                now += step;
                (id, content, now)
            }).collect();
            let from_the_log = |n: usize| {
                let (id, content, at) = log[n];
                let last = log[..n].iter().rev().find(|(i, _, t)| *i == id && at - t <= HORIZON);
                match last {
                    None => Sighting::First,
                    Some((_, before, _)) if *before == content => Sighting::Again,
                    Some(_) => Sighting::Conflicting,
                }
            };
            let mut starts: Vec<usize> = starts.iter().map(|i| i.index(log.len())).collect();
            starts.push(0);
            for start in starts {
                let mut dedup = new();
                let since = log[start].2 - HORIZON;
                for (n, &(id, content, at)) in log.iter().enumerate() {
                    if n < start && at < since {
                        continue;
                    }
                    let said = see(&mut dedup, id, content, at);
                    if n >= start {
                        prop_assert_eq!(said, from_the_log(n), "record {} from {}", n, start);
                    }
                }
            }
        }
    }
}
