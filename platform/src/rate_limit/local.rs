//! The states of one process, in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Key, Limit,
    gcra::{Decision, Micros, decide},
};

/// The most states kept, some 20 MB. Beyond that, those that are closest to being as good as
/// new are forgotten first.
const CAPACITY: usize = 200_000;

pub(super) struct Local {
    states: Mutex<States>,
    started: Instant,
    capacity: usize,
    /// A state that was not used for so long says nothing any more.
    window: Micros,
}

#[derive(Default)]
struct States {
    arrivals: HashMap<Key, Micros>,
    next_sweep: Micros,
}

impl Local {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            states: Mutex::default(),
            started: Instant::now(),
            capacity: CAPACITY,
            window: micros(window),
        }
    }

    pub(super) fn decide(&self, keys: &[Key], limits: &[Limit], cost: u32) -> Decision {
        self.decide_at(keys, limits, micros(self.started.elapsed()), cost)
    }

    /// One lock for all keys, held for well under a microsecond: the limits of a request must
    /// be decided together.
    fn decide_at(&self, keys: &[Key], limits: &[Limit], now: Micros, cost: u32) -> Decision {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.sweep(now, self.window, self.capacity);
        let before: Vec<_> = keys
            .iter()
            .zip(limits)
            .map(|(key, limit)| {
                let arrival = states.arrivals.get(key).copied().unwrap_or_default();
                (limit.quota, arrival)
            })
            .collect();
        let decision = decide(&before, now, cost);
        if decision.admits() {
            for (key, standing) in keys.iter().zip(&decision.standings) {
                states.arrivals.insert(*key, standing.arrival);
            }
        }
        decision
    }
}

impl States {
    /// Forgets, once a window, the states that are as good as new, and when there are too many
    /// also those that nearly are. Either costs one look at each state, and happens so seldom
    /// that it is little per request. A request adds two states at most.
    fn sweep(&mut self, now: Micros, window: Micros, capacity: usize) {
        if now < self.next_sweep && self.arrivals.len() + 2 <= capacity {
            return;
        }
        self.next_sweep = now + window;
        self.arrivals.retain(|_, arrival| *arrival > now);
        let kept = capacity / 4 * 3;
        if self.arrivals.len() > kept {
            let surplus = self.arrivals.len() - kept;
            let mut arrivals: Vec<_> = self.arrivals.values().copied().collect();
            let (_, latest_forgotten, _) = arrivals.select_nth_unstable(surplus - 1);
            let latest_forgotten = *latest_forgotten;
            self.arrivals
                .retain(|_, arrival| *arrival > latest_forgotten);
        }
        if self.arrivals.capacity() > 4 * self.arrivals.len() {
            self.arrivals.shrink_to(2 * self.arrivals.len());
        }
    }
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::rate_limit::{Class, Scope, gcra::Quota};

    const SECOND: Micros = 1_000_000;

    fn local(capacity: usize) -> Local {
        Local {
            capacity,
            ..Local::new(Duration::from_secs(60))
        }
    }

    fn limit() -> [Limit; 1] {
        [Limit {
            scope: Scope::Organization,
            name: "single",
            quota: Quota::new(60, Duration::from_secs(60)).unwrap(),
        }]
    }

    fn key(number: u128) -> [Key; 1] {
        [Key {
            class: Class::Single,
            organization_id: Uuid::from_u128(number),
            user_id: None,
        }]
    }

    fn size(local: &Local) -> (usize, usize) {
        let states = local.states.lock().unwrap();
        (states.arrivals.len(), states.arrivals.capacity())
    }

    #[test]
    fn idle_keys_are_forgotten_and_their_memory_with_them() {
        let local = local(CAPACITY);
        for number in 0..100_000 {
            assert!(local.decide_at(&key(number), &limit(), SECOND, 30).admits());
        }
        assert_eq!(size(&local).0, 100_000);
        // What is still in use stays.
        assert!(local.decide_at(&key(7), &limit(), 31 * SECOND, 60).admits());
        assert!(local.decide_at(&key(8), &limit(), 62 * SECOND, 1).admits());
        let (kept, room) = size(&local);
        assert_eq!(kept, 2);
        assert!(room < 100, "{room}");
        assert!(!local.decide_at(&key(7), &limit(), 62 * SECOND, 60).admits());
    }

    #[test]
    fn there_are_never_more_keys_than_the_cap_and_the_busiest_stay() {
        let local = local(1000);
        assert!(local.decide_at(&key(0), &limit(), SECOND, 60).admits());
        for number in 1..100_000 {
            local.decide_at(&key(number), &limit(), SECOND, 1);
            assert!(size(&local).0 <= 1000);
        }
        assert!(!local.decide_at(&key(0), &limit(), SECOND, 1).admits());
    }

    #[test]
    fn what_is_refused_takes_no_memory() {
        let local = local(CAPACITY);
        assert!(local.decide_at(&key(1), &limit(), SECOND, 60).admits());
        for _ in 0..100 {
            assert!(!local.decide_at(&key(1), &limit(), SECOND, 1).admits());
        }
        assert_eq!(size(&local).0, 1);
    }
}
