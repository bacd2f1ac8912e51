//! How far the sources of admitted events and of rollup deltas were read.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::{EventKind, Timestamp};

/// The watermarks of some partitions of the topics of events: each says that no event of its
/// partition from before that instant is expected any more.
///
/// They travel as a header of a record without key and value, put into every partition of a
/// topic in the transaction that holds what they speak of: whoever read a partition up to such
/// a record has got everything in it that these sources had before.
///
/// Watermarks as in Akidau et al., "The Dataflow Model" (VLDB 2015): a heuristic for when
/// input is complete, never a reason to drop what comes later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watermarks {
    /// How many sources there are in all, those of other instances included.
    pub sources: u32,
    /// How many partitions the topic of this record has.
    pub partitions: u32,
    /// Of each source, the instant.
    pub until: BTreeMap<(EventKind, i32), Timestamp>,
}

/// The header says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header {} is malformed", Watermarks::HEADER)]
pub struct MalformedWatermarks;

impl Watermarks {
    /// The header: the two numbers, then kind, partition and milliseconds since 1970 of each
    /// source; `8,2;command_execution/0/1700000040000;…`.
    pub const HEADER: &'static str = "flowmeter.watermarks";

    /// Reads the header's value.
    ///
    /// # Errors
    /// If it is none that [`Watermarks`] writes.
    pub fn from_header(value: &[u8]) -> Result<Self, MalformedWatermarks> {
        std::str::from_utf8(value)
            .ok()
            .and_then(Self::parse)
            .ok_or(MalformedWatermarks)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let (sources, partitions) = parts.next()?.split_once(',')?;
        let mut read = Self {
            sources: sources.parse().ok()?,
            partitions: partitions.parse().ok()?,
            until: BTreeMap::new(),
        };
        for part in parts {
            let mut words = part.split('/');
            let kind = words.next()?;
            let kind = EventKind::ALL.into_iter().find(|k| k.as_str() == kind)?;
            let partition = words.next()?.parse().ok()?;
            let until = Timestamp::from_millis(words.next()?.parse().ok()?).ok()?;
            if words.next().is_some() {
                return None;
            }
            read.until.insert((kind, partition), until);
        }
        Some(read)
    }

    /// The header's value.
    pub fn to_header(&self) -> String {
        let mut text = format!("{},{}", self.sources, self.partitions);
        for ((kind, partition), until) in &self.until {
            let millis = until.micros().div_euclid(1000);
            // Writing to a string cannot fail.
            let _ = write!(text, ";{kind}/{partition}/{millis}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_goes_both_ways_and_nothing_else_is_one() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let watermarks = Watermarks {
            sources: 8,
            partitions: 2,
            until: [
                ((EventKind::CommandExecution, 0), at(1_700_000_040_000)),
                ((EventKind::UserSession, 11), at(-60_000)),
            ]
            .into(),
        };
        let text = watermarks.to_header();
        assert_eq!(Watermarks::from_header(text.as_bytes()), Ok(watermarks));
        let none = Watermarks::default();
        assert_eq!(Watermarks::from_header(b"0,0"), Ok(none));
        for broken in [
            "",
            "8",
            "8,2;",
            "8,2;command_execution/0",
            "8,2;command_execution/0/1/2",
            "8,2;walk/0/1",
            "-1,2",
        ] {
            let read = Watermarks::from_header(broken.as_bytes());
            assert_eq!(read, Err(MalformedWatermarks), "{broken}");
        }
    }
}
