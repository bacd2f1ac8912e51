//! How evenly keys fill partitions and the instances that share them.

use std::collections::HashMap;

use super::keys::{Key, Keys};

/// The share of events of every partition.
#[derive(Debug)]
pub struct Load {
    /// Sums to 1.
    shares: Vec<f64>,
}

impl Load {
    /// Of `events` events over `partitions` partitions.
    pub fn of(keys: &mut Keys, events: u32, partitions: u32) -> Self {
        let mut counts = vec![0_u32; partitions as usize];
        let mut known: HashMap<Key, u32> = HashMap::new();
        for _ in 0..events {
            let key = keys.draw();
            let partition = known
                .entry(key)
                .or_insert_with(|| key.partition(partitions));
            counts[*partition as usize] += 1;
        }
        let share = |count: u32| f64::from(count) / f64::from(events);
        Self {
            shares: counts.into_iter().map(share).collect(),
        }
    }

    /// The busiest partition's share divided by the mean.
    pub fn busiest_partition(&self) -> f64 {
        busiest(&self.shares)
    }

    /// The busiest instance's share divided by the mean, if each has as many partitions as the
    /// others, or one more, next to each other.
    pub fn busiest_instance(&self, instances: usize) -> f64 {
        let count = self.shares.len();
        let from = |instance: usize| instance * count / instances;
        let shares: Vec<f64> = (0..instances)
            .map(|i| self.shares[from(i)..from(i + 1)].iter().sum())
            .collect();
        busiest(&shares)
    }
}

fn busiest(shares: &[f64]) -> f64 {
    shares.iter().copied().fold(0.0, f64::max) * shares.len() as f64
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Skew, *};

    fn load(users: u32, user_exponent: f64, partitions: u32) -> Load {
        let skew = Skew {
            organizations: 50,
            share_of_largest: 0.3,
            users,
            user_exponent,
        };
        Load::of(&mut Keys::new(1, skew), 200_000, partitions)
    }

    #[test]
    fn one_partition_has_everything() {
        let load = load(10, 0.8, 1);
        assert_eq!(load.busiest_partition(), 1.0);
        assert_eq!(load.busiest_instance(1), 1.0);
    }

    #[test]
    fn many_equal_users_are_spread_evenly_and_one_busy_user_is_not() {
        let even = load(10_000, 0.0, 12).busiest_partition();
        assert!(even < 1.1, "{even}");
        let uneven = load(2, 2.0, 12).busiest_partition();
        assert!(uneven > 2.5, "{uneven}");
    }

    #[test]
    fn instances_are_evener_than_their_partitions() {
        let load = load(1_000, 0.8, 48);
        assert!(load.busiest_instance(4) < load.busiest_partition());
        assert_eq!(load.busiest_instance(48), load.busiest_partition());
    }
}
