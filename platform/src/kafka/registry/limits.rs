//! The cache's bookkeeping, without I/O and with time as an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A map that stays within a bound: inserting into a full one drops the entry that was used
/// longest ago.
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, Entry<V>>,
    capacity: usize,
    /// How often entries were used, in all.
    uses: u64,
}

struct Entry<V> {
    value: V,
    /// What [`Bounded::uses`] was then.
    used: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> Bounded<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            capacity,
            uses: 0,
        }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        entry.used = self.uses;
        Some(entry.value.clone())
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            // A scan, but only when something new comes to a full map.
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.entries.remove(&oldest);
            }
        }
        self.uses += 1;
        let used = self.uses;
        self.entries.insert(key, Entry { value, used });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// A token bucket that says how long to wait. Tokens used for nothing bad are given back.
pub(super) struct TokenBucket {
    per_second: f64,
    burst: f64,
    /// Below zero: that many callers are waiting already.
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// Holds a second's worth.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let rate = f64::from(per_second.max(1));
        Self {
            per_second: rate,
            burst: rate,
            tokens: rate,
            filled: now,
        }
    }

    /// Takes a token and says how long to wait for it; `None`, taking nothing,
    /// when that would be longer than `longest`.
    pub(super) fn take(&mut self, now: Instant, longest: Duration) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = self.filled.max(now);
        let wait = Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.per_second);
        if wait > longest {
            return None;
        }
        self.tokens -= 1.0;
        Some(wait)
    }

    pub(super) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_full_map_drops_what_was_used_longest_ago() {
        let mut map = Bounded::new(2);
        map.insert(1, ());
        map.insert(2, ());
        map.get(&1);
        map.insert(3, ());
        assert_eq!(map.get(&2), None);
        assert_eq!(map.get(&1), Some(()));
    }

    #[test]
    fn a_bucket_lets_a_burst_through_then_makes_wait_then_refuses() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(2, now);
        assert_eq!(bucket.take(now, SECOND), Some(Duration::ZERO));
        assert_eq!(bucket.take(now, SECOND), Some(Duration::ZERO));
        assert_eq!(bucket.take(now, SECOND), Some(SECOND / 2));
        assert_eq!(bucket.take(now, SECOND), Some(SECOND));
        assert_eq!(bucket.take(now, SECOND), None);
        assert_eq!(bucket.take(now + 10 * SECOND, SECOND), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn a_map_never_exceeds_its_bound(keys in proptest::collection::vec(0_u8..50, 0..200), capacity in 0_usize..20) {
            let mut map = Bounded::new(capacity);
            for key in keys {
                map.insert(key, ());
                prop_assert!(map.len() <= capacity);
            }
        }

        #[test]
        fn a_bucket_never_gives_more_than_its_rate_and_one_burst(pauses in proptest::collection::vec(0_u64..300, 1..200)) {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = TokenBucket::new(10, now);
            let mut given = 0.0;
            for pause in pauses {
                now += Duration::from_millis(pause);
                if bucket.take(now, Duration::ZERO).is_some() {
                    given += 1.0;
                }
                prop_assert!(given <= 10.0 + 10.0 * (now - start).as_secs_f64() + 1e-6);
            }
        }
    }
}
