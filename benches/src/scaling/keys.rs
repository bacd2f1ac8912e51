//! Who the events are of: organizations and users, unevenly.

use uuid::Uuid;

use crate::workload::{random::SplitMix64, zipf::Zipf};

/// How uneven.
#[derive(Debug, Clone, Copy)]
pub struct Skew {
    /// How many organizations.
    pub organizations: u32,
    /// The share of all events that the largest one has, from 0 to 1; those of the others
    /// follow Zipf's law with exponent 1.1.
    pub share_of_largest: f64,
    /// Users of each organization.
    pub users: u32,
    /// The exponent of Zipf's law for the events of an organization's users: 0 if all are
    /// equally busy.
    pub user_exponent: f64,
}

/// The organization and user of each event, without end.
#[derive(Debug)]
pub struct Keys {
    random: SplitMix64,
    skew: Skew,
    others: Zipf,
    users: Zipf,
}

/// Of an event: numbers of its organization and of the user within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// 0 is the largest.
    pub organization: u32,
    /// 0 is the busiest.
    pub user: u32,
}

impl Keys {
    /// With at least two organizations and one user.
    pub fn new(seed: u64, skew: Skew) -> Self {
        Self {
            random: SplitMix64::new(seed),
            skew,
            others: Zipf::new(skew.organizations - 1, 1.1),
            users: Zipf::new(skew.users, skew.user_exponent),
        }
    }

    /// Of the next event.
    pub fn draw(&mut self) -> Key {
        let organization = if self.random.unit() < self.skew.share_of_largest {
            0
        } else {
            1 + self.others.rank(self.random.unit())
        };
        let user = self.users.rank(self.random.unit());
        Key { organization, user }
    }
}

impl Key {
    /// The partition that Kafka's clients choose for the record's key.
    pub fn partition(self, partitions: u32) -> u32 {
        let id = |kind: u8, number: u32| {
            let name = format!("{kind}/{}/{number}", self.organization);
            Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
        };
        let key = format!("{}:{}", id(0, 0), id(1, self.user));
        (murmur2(key.as_bytes()) & 0x7fff_ffff) % partitions
    }
}

/// Murmur2 by Austin Appleby, with the seed of Kafka's Java client.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mix = |k: u32| {
        let k = k.wrapping_mul(M);
        (k ^ (k >> 24)).wrapping_mul(M)
    };
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash = hash.wrapping_mul(M) ^ mix(word);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (n, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * n);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_that_of_kafkas_client() {
        // From the tests of its `Utils`.
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    #[test]
    fn the_largest_organization_has_its_share() {
        let skew = Skew {
            organizations: 100,
            share_of_largest: 0.3,
            users: 50,
            user_exponent: 0.8,
        };
        let mut keys = Keys::new(1, skew);
        let drawn: Vec<Key> = (0..100_000).map(|_| keys.draw()).collect();
        let largest = drawn.iter().filter(|key| key.organization == 0).count();
        assert!((29_000..31_000).contains(&largest), "{largest}");
        assert!(drawn.iter().all(|k| k.organization < 100 && k.user < 50));
    }
}
