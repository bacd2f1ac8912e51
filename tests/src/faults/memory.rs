//! I6: no process grows while it is at the same work.

use std::collections::BTreeMap;

use super::services::Instance;

/// Fewer looks at a process say nothing of it.
const LOOKS: usize = 16;

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
    /// it is the second half of a long run that counts.
    pub(crate) fn is_flat(&self) {
        for (name, samples) in &self.samples {
            if samples.len() < LOOKS {
                continue;
            }
            let most = |samples: &[u64]| samples.iter().max().copied().unwrap_or(0) >> 20;
            let (first, second) = samples.split_at(samples.len() / 2);
            let (first, second) = (most(first), most(second));
            assert!(
                second <= first + first / 4 + 16,
                "I6: {name} grew from {first} to {second} MiB: {samples:?}"
            );
        }
    }
}
