//! Sinks that share a database wait for each other: each holds the locks of its batch's
//! organizations from the merge of its rollups until its commit.

use std::collections::{BTreeSet, HashSet};

use super::keys::Keys;

/// Locks that organizations share, as the sink has them.
const LOCKS: u32 = 256;

/// What a batch costs, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Of an event: its raw row, and all that is done without locks.
    pub event: f64,
    /// Of a rollup that is read, merged and written, under locks.
    pub rollup: f64,
    /// Rollups that an event of a small batch touches: one in each window and scope.
    pub rollups_of_event: f64,
}

/// Events a second of `sinks` sinks that write `batches` batches of `size` events each, with
/// a core for each sink and as many for the database: nothing but locks keeps them apart.
pub fn throughput(keys: &mut Keys, costs: Costs, sinks: usize, size: u32, batches: u32) -> f64 {
    // When each sink is free again, and each lock.
    let mut free = vec![0.0_f64; sinks];
    let mut unlocked = vec![0.0_f64; LOCKS as usize];
    for _ in 0..batches * u32::try_from(sinks).unwrap_or(1) {
        let drawn: Vec<_> = (0..size).map(|_| keys.draw()).collect();
        let locks: BTreeSet<u32> = drawn.iter().map(|key| key.organization % LOCKS).collect();
        // Users that come twice in a batch share their rollups.
        let users: HashSet<_> = drawn.iter().collect();
        let rollups = users.len() as f64 * costs.rollups_of_event;
        // The first to be free goes on.
        let first = (0..sinks).min_by(|a, b| free[*a].total_cmp(&free[*b]));
        let sink = first.unwrap_or(0);
        let asks = free[sink] + f64::from(size) * costs.event;
        let latest = |at: f64, lock: &u32| at.max(unlocked[*lock as usize]);
        let ends = locks.iter().fold(asks, latest) + rollups * costs.rollup;
        for lock in locks {
            unlocked[lock as usize] = ends;
        }
        free[sink] = ends;
    }
    let events = f64::from(size) * f64::from(batches) * sinks as f64;
    events * 1e6 / free.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Skew, *};

    const COSTS: Costs = Costs {
        event: 10.0,
        rollup: 10.0,
        rollups_of_event: 1.0,
    };

    fn ratio(organizations: u32, share_of_largest: f64, size: u32) -> f64 {
        let skew = Skew {
            organizations,
            share_of_largest,
            users: 100_000,
            user_exponent: 0.0,
        };
        let of = |sinks| throughput(&mut Keys::new(1, skew), COSTS, sinks, size, 50);
        of(8) / of(1)
    }

    #[test]
    fn an_organization_in_every_batch_lets_only_the_rest_overlap() {
        // Half of a batch's time is under the lock, so two are twice as fast as one, and more
        // sinks are no faster.
        let ratio = ratio(2, 0.5, 1_000);
        assert!((1.8..2.05).contains(&ratio), "{ratio}");
    }

    #[test]
    fn batches_that_share_no_organization_do_not_wait() {
        let ratio = ratio(100_000, 0.0, 1);
        assert!(ratio > 4.0, "{ratio}");
    }
}
