//! The watermark of the installation, out of what the log says of its sources.

use std::collections::BTreeMap;

use schemas::{EventKind, Timestamp, Watermarks};

/// What each partition of the log said last of each source: the same as the sink's table
/// `flowmeter.watermarks` and the view over it.
#[derive(Debug, Default)]
pub(crate) struct WatermarkTable {
    /// By kind and partition of the source, and the partition that said so.
    until: BTreeMap<(EventKind, i32, i32), Timestamp>,
    /// How many entries there are once every source was told in every partition.
    expected: u64,
}

impl WatermarkTable {
    /// Takes what `partition` says, and gives the watermark: no event from before is expected
    /// any more. `None` while some source has not been told everywhere.
    pub(crate) fn add(&mut self, partition: i32, told: Watermarks) -> Option<Timestamp> {
        let expected = u64::from(told.sources) * u64::from(told.partitions);
        self.expected = self.expected.max(expected);
        for ((kind, source), until) in told.until {
            let entry = self.until.entry((kind, source, partition));
            let known = entry.or_insert(until);
            *known = until.max(*known);
        }
        let complete = self.until.len() as u64 >= self.expected;
        self.until.values().min().copied().filter(|_| complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_once_every_source_was_told_in_every_partition() {
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000).unwrap();
        let told = |source, minute| Watermarks {
            sources: 2,
            partitions: 2,
            until: [((EventKind::CommandExecution, source), at(minute))].into(),
        };
        let mut table = WatermarkTable::default();
        assert_eq!(table.add(0, told(0, 5)), None);
        assert_eq!(table.add(1, told(0, 5)), None);
        assert_eq!(table.add(0, told(1, 3)), None);
        assert_eq!(table.add(1, told(1, 4)), Some(at(3)));
        assert_eq!(table.add(0, told(1, 7)), Some(at(4)));
        // What is read again after an interruption takes nothing back.
        assert_eq!(table.add(0, told(0, 1)), Some(at(4)));
    }
}
