//! The decision itself, as plain values.
//!
//! GCRA, the generic cell rate algorithm (ITU-T I.371, virtual scheduling). Of each limit one
//! number is kept, its theoretical arrival time: when the limit is as good as new again. Every
//! unit moves it one interval into the future, and it may be no further ahead than the whole
//! quota takes.

use std::time::Duration;

/// Microseconds on the clock that a limit's state is kept by. 64 bits of a float hold them
/// exactly, so that Redis's Lua reckons as we do.
pub(super) type Micros = u64;

/// So many units in so long; as many may come at once when none came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    limit: u32,
    window: Duration,
    interval: Micros,
}

impl Quota {
    /// `limit` units in `window`; `None` for a limit of 0, which means that there is none.
    ///
    /// The interval between two units is rounded down to a microsecond, in the client's favour,
    /// and is at least one.
    pub(super) fn new(limit: u32, window: Duration) -> Option<Self> {
        let window_micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let interval = window_micros.checked_div(u64::from(limit))?.max(1);
        Some(Self {
            limit,
            window,
            interval,
        })
    }

    /// The most units at once, and in a window.
    pub(super) fn limit(self) -> u32 {
        self.limit
    }

    /// How long a used-up quota takes to be whole again.
    pub(super) fn window(self) -> Duration {
        self.window
    }

    pub(super) fn interval(self) -> Micros {
        self.interval
    }

    /// How far ahead of now a theoretical arrival time may be.
    fn tolerance(self) -> Micros {
        self.interval * u64::from(self.limit)
    }

    /// What `cost` units count here. One at least, and no more than fit at once: a batch larger
    /// than that passes when nothing was used, and takes everything.
    pub(super) fn clamped(self, cost: u32) -> u32 {
        cost.clamp(1, self.limit)
    }

    /// The arrival time when `cost` more units come now.
    fn after(self, arrival: Micros, now: Micros, cost: u32) -> Micros {
        // A clock that was set back, or a quota that was lowered, must not shut a client out
        // for longer than a window.
        let arrival = arrival.clamp(now, now + self.tolerance());
        arrival + self.interval * u64::from(self.clamped(cost))
    }

    fn room(self, arrival: Micros, now: Micros) -> Micros {
        (now + self.tolerance()).saturating_sub(arrival.max(now))
    }

    /// Units that would pass now.
    fn remaining(self, arrival: Micros, now: Micros) -> u32 {
        u32::try_from(self.room(arrival, now) / self.interval).unwrap_or(u32::MAX)
    }

    /// How long until one unit more would pass; zero when there is nothing to be given back.
    fn next_unit(self, arrival: Micros, now: Micros) -> Micros {
        if arrival <= now {
            return 0;
        }
        self.interval - self.room(arrival, now) % self.interval
    }
}

/// How a limit stands after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// The theoretical arrival time, as it is to be kept.
    pub(super) arrival: Micros,
    /// Units that would pass now.
    pub(super) remaining: u32,
    /// Until more units pass; of a limit that refuses, until the refused request would.
    pub(super) more_in: Duration,
    /// Whether this limit refuses the request.
    pub(super) refuses: bool,
}

/// Whether a request passes, and how its limits stand then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// In the order of the limits.
    pub(super) standings: Vec<Standing>,
}

impl Decision {
    /// Whether the request passes: no limit refuses it.
    pub(super) fn admits(&self) -> bool {
        !self.standings.iter().any(|standing| standing.refuses)
    }

    /// How long until the request would pass, if nothing else comes.
    pub(super) fn wait(&self) -> Duration {
        let refusing = self.standings.iter().filter(|standing| standing.refuses);
        refusing
            .map(|standing| standing.more_in)
            .max()
            .unwrap_or_default()
    }
}

/// Decides about a request of `cost` units under all of its limits together: it counts in
/// each of them, or, when one refuses, in none. `limits` are the quotas with their theoretical
/// arrival times, 0 for a new one.
pub(super) fn decide(limits: &[(Quota, Micros)], now: Micros, cost: u32) -> Decision {
    let wait = |&(quota, arrival): &(Quota, Micros)| {
        quota
            .after(arrival, now, cost)
            .saturating_sub(now + quota.tolerance())
    };
    let passes = limits.iter().all(|limit| wait(limit) == 0);
    let standing = |limit: &(Quota, Micros)| {
        let (quota, before) = *limit;
        let arrival = if passes {
            quota.after(before, now, cost)
        } else {
            before
        };
        let more_in = match wait(limit) {
            0 => quota.next_unit(arrival, now),
            wait => wait,
        };
        Standing {
            arrival,
            remaining: quota.remaining(arrival, now),
            more_in: Duration::from_micros(more_in),
            refuses: wait(limit) > 0,
        }
    };
    Decision {
        standings: limits.iter().map(standing).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SECOND: Micros = 1_000_000;

    fn quota(limit: u32, seconds: u64) -> Quota {
        Quota::new(limit, Duration::from_secs(seconds)).unwrap()
    }

    /// Decides and keeps the state.
    fn admit(limits: &mut [(Quota, Micros)], now: Micros, cost: u32) -> Decision {
        let decision = decide(limits, now, cost);
        for (limit, standing) in limits.iter_mut().zip(&decision.standings) {
            limit.1 = standing.arrival;
        }
        decision
    }

    fn quotas() -> impl Strategy<Value = Quota> {
        (1_u32..2000, 1_u64..120).prop_map(|(limit, seconds)| quota(limit, seconds))
    }

    /// Requests: the time since the one before, and the cost.
    fn requests() -> impl Strategy<Value = Vec<(Micros, u32)>> {
        vec((0..2 * SECOND, 0_u32..300), 1..200)
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back_bit_by_bit() {
        let mut limit = [(quota(3, 60), 0)];
        let now = 1000 * SECOND;
        for remaining in [2, 1, 0] {
            let decision = admit(&mut limit, now, 1);
            assert!(decision.admits());
            assert_eq!(decision.standings[0].remaining, remaining);
        }
        let refused = admit(&mut limit, now + 5 * SECOND, 1);
        assert!(!refused.admits());
        assert_eq!(refused.wait(), Duration::from_secs(15));
        assert!(admit(&mut limit, now + 20 * SECOND, 1).admits());
        assert!(!admit(&mut limit, now + 20 * SECOND, 1).admits());
        assert_eq!(
            admit(&mut limit, now + 3600 * SECOND, 1).standings[0].remaining,
            2
        );
    }

    #[test]
    fn a_batch_passes_whole_or_not_at_all() {
        let mut limit = [(quota(10, 10), 0)];
        assert!(admit(&mut limit, SECOND, 7).admits());
        let refused = admit(&mut limit, SECOND, 4);
        assert!(!refused.admits());
        assert_eq!(refused.standings[0].remaining, 3);
        assert_eq!(refused.wait(), Duration::from_secs(1));
        assert!(admit(&mut limit, SECOND, 3).admits());
    }

    #[test]
    fn a_batch_larger_than_the_quota_passes_when_nothing_was_used() {
        let mut limit = [(quota(10, 10), 0)];
        assert_eq!(admit(&mut limit, SECOND, 1000).standings[0].remaining, 0);
        let refused = admit(&mut limit, 2 * SECOND, 1000);
        assert_eq!(refused.wait(), Duration::from_secs(9));
        assert!(admit(&mut limit, 11 * SECOND, 1000).admits());
    }

    #[test]
    fn what_one_limit_refuses_counts_in_none() {
        let mut limits = [(quota(100, 60), 0), (quota(2, 60), 0)];
        for _ in 0..2 {
            assert!(admit(&mut limits, SECOND, 1).admits());
        }
        for _ in 0..50 {
            let refused = admit(&mut limits, SECOND, 1);
            assert_eq!(
                refused
                    .standings
                    .iter()
                    .map(|s| s.refuses)
                    .collect::<Vec<_>>(),
                [false, true]
            );
            assert_eq!(refused.standings[0].remaining, 98);
        }
    }

    #[test]
    fn a_clock_set_back_shuts_nobody_out_for_longer_than_a_window() {
        let mut limit = [(quota(60, 60), 0)];
        assert!(admit(&mut limit, 1_000_000 * SECOND, 60).admits());
        let refused = admit(&mut limit, 5 * SECOND, 1);
        assert_eq!(refused.wait(), Duration::from_secs(1));
    }

    #[test]
    fn zero_is_no_quota() {
        assert_eq!(Quota::new(0, Duration::from_secs(60)), None);
    }

    proptest! {
        /// The promise: in any stretch of time no more passes than the quota and what it gives
        /// back meanwhile.
        #[test]
        fn no_more_passes_than_the_burst_and_the_rate(quota in quotas(), requests in requests()) {
            let mut limit = [(quota, 0)];
            let (mut now, mut passed) = (SECOND, Vec::new());
            for (gap, cost) in requests {
                now += gap;
                if admit(&mut limit, now, cost).admits() {
                    passed.push((now, u64::from(quota.clamped(cost))));
                }
            }
            for from in 0..passed.len() {
                let mut units = 0;
                for &(at, cost) in &passed[from..] {
                    units += cost;
                    let given_back = (at - passed[from].0) / quota.interval;
                    // One unit may have been on its way at the beginning.
                    prop_assert!(units <= u64::from(quota.limit) + given_back + 1);
                }
            }
        }

        #[test]
        fn many_units_at_once_are_as_many_single_ones(
            quota in quotas(), before in requests(), cost in 1_u32..300,
        ) {
            let mut limit = [(quota, 0)];
            let mut now = SECOND;
            for (gap, cost) in before {
                now += gap;
                admit(&mut limit, now, cost);
            }
            prop_assume!(cost <= quota.limit);
            let (mut singly, mut together) = (limit, limit);
            let one_by_one = (0..cost).all(|_| admit(&mut singly, now, 1).admits());
            prop_assert_eq!(admit(&mut together, now, cost).admits(), one_by_one);
            if one_by_one {
                prop_assert_eq!(singly, together);
            }
        }

        #[test]
        fn who_passes_with_more_passes_with_less_and_later(
            quota in quotas(), ahead in 0..200 * SECOND, cost in 1_u32..3000, later in 0..200 * SECOND,
        ) {
            let now = 1000 * SECOND;
            let limit = [(quota, now + ahead)];
            let decision = decide(&limit, now, cost);
            if decision.admits() {
                prop_assert!(decide(&limit, now, cost.div_ceil(2)).admits());
                prop_assert!(decide(&limit, now + later, cost).admits());
            } else {
                let in_time = now + u64::try_from(decision.wait().as_micros()).unwrap();
                // After a wait that begins where the state is, not where it was clamped to.
                let kept = [(quota, limit[0].1.min(now + quota.tolerance()))];
                prop_assert!(decide(&kept, in_time, cost).admits());
                prop_assert!(!decide(&kept, in_time - 1, cost).admits());
            }
        }

        #[test]
        fn as_many_units_pass_as_are_said_to_remain(quota in quotas(), ahead in 0..200 * SECOND) {
            let now = 1000 * SECOND;
            let limit = [(quota, now + ahead)];
            let refused_at_most = decide(&limit, now, quota.limit);
            if !refused_at_most.admits() {
                let remaining = refused_at_most.standings[0].remaining;
                prop_assert!(remaining == 0 || decide(&limit, now, remaining).admits());
                prop_assert!(!decide(&limit, now, remaining + 1).admits());
            }
        }
    }
}
