//! I6: no process grows while it is at the same work.

use std::collections::BTreeMap;

use super::services::Instance;

/// Fewer looks at a process say nothing of it.
const LOOKS: usize = 16;
/// What a process may take at any moment: the default of `MAX_MEMORY_MB`.
const MOST_MIB: u64 = 512;

/// Resident bytes of each process, in the order in which they were looked at.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    samples: BTreeMap<String, Vec<u64>>,
    pub(crate) largest: u64,
}

impl Memory {
    pub(crate) fn look(&mut self, instances: &[Instance]) {
        for instance in instances {
            if let Some(memory) = instance.memory() {
                self.largest = self.largest.max(memory);
                let samples = self.samples.entry(instance.name.clone()).or_default();
                samples.push(memory);
            }
        }
    }

    /// A process begins anew.
    pub(crate) fn forget(&mut self, instance: &Instance) {
        self.samples.remove(&instance.name);
    }

    /// The ids of events are kept, and allocators and histograms take their time to fill, so
    /// it is the second half of a long run that counts, and of each half the middle: what is read
    /// again after a fault takes memory for a moment, and what leaks stays.
    pub(crate) fn is_flat(&self) {
        for (name, samples) in &self.samples {
            let most = samples.iter().max().copied().unwrap_or(0) >> 20;
            assert!(
                most <= MOST_MIB,
                "I6: {name} took {most} MiB for a moment: {samples:?}"
            );
            if samples.len() < LOOKS {
                continue;
            }
            let (first, second) = samples.split_at(samples.len() / 2);
            let (first, second) = (middle(first), middle(second));
            assert!(
                second <= first + first / 4 + 16,
                "I6: {name} grew from {first} to {second} MiB: {samples:?}"
            );
        }
    }
}

/// The median, in MiB.
fn middle(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0) >> 20
}

#[test]
fn what_stays_is_growth_and_what_is_given_back_is_not() {
    // MiB of an aggregator that kept something of each session, and of one that read a log again.
    let leak = [
        34, 35, 38, 55, 75, 97, 97, 101, 117, 106, 119, 133, 147, 146, 146, 149, 168, 177, 181, 178,
    ];
    let peak = [
        34, 36, 36, 38, 42, 49, 42, 35, 42, 56, 60, 37, 35, 46, 37, 39, 46, 110, 73, 42,
    ];
    let is_flat = |mib: [u64; 20]| {
        let mut memory = Memory::default();
        let samples = mib.map(|mib| mib << 20).to_vec();
        memory.samples.insert("aggregator".to_owned(), samples);
        std::panic::catch_unwind(|| memory.is_flat()).is_ok()
    };
    assert!(!is_flat(leak));
    assert!(is_flat(peak));
}
