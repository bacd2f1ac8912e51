//! A place in the order of events: by time, and within an instant by id.
//!
//! An id may be stored twice, when its event was sent again beyond `DEDUP_HORIZON`. Where in
//! the log its record was tells two such rows apart, so that each has a place of its own.

use std::str::FromStr;

use schemas::Timestamp;
use uuid::Uuid;

/// In which direction time is read. Within an instant rows always come by ascending place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    NewestFirst,
    OldestFirst,
}

/// Of a row within its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) event_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// How far was read: up to a row, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) at: Timestamp,
    /// The row; `None` when everything of the instant was read.
    pub(crate) place: Option<Place>,
}

/// The text form of exports, which anybody can make of a row that was received:
/// `timestamp,event_id`, and to be exact about an id that is there twice,
/// `timestamp,event_id,source_partition,source_offset`. Without the latter all rows of that
/// instant and id count as received.
impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be the last row's timestamp,event_id or timestamp,event_id,source_partition,source_offset";
        let parts: Vec<&str> = text.split(',').collect();
        let (at, event_id, source) = match parts[..] {
            [at, event_id] => (at, event_id, None),
            [at, event_id, partition, offset] => (at, event_id, Some((partition, offset))),
            _ => return Err(EXPECTED),
        };
        let (partition, offset) = match source {
            None => (i32::MAX, i64::MAX),
            Some((partition, offset)) => (
                partition.parse().map_err(|_| EXPECTED)?,
                offset.parse().map_err(|_| EXPECTED)?,
            ),
        };
        let event_id: uuid::fmt::Hyphenated = event_id.parse().map_err(|_| EXPECTED)?;
        Ok(Self {
            at: at.parse().map_err(|_| EXPECTED)?,
            place: Some(Place {
                event_id: event_id.into_uuid(),
                partition,
                offset,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_received_says_where_to_go_on() {
        let id = "0190b1c2-0000-7000-8000-00000000000a";
        let short: Position = format!("2026-03-01T00:00:00.5Z,{id}").parse().unwrap();
        assert_eq!(short.at.to_string(), "2026-03-01T00:00:00.500Z");
        let exact: Position = format!("2026-03-01T00:00:00.5Z,{id},3,17").parse().unwrap();
        let (short, exact) = (short.place.unwrap(), exact.place.unwrap());
        assert_eq!((exact.partition, exact.offset), (3, 17));
        // All of that id count as received.
        assert!(short > exact && short.event_id == exact.event_id);
        for bad in [
            "",
            ",",
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:00:00Z,1",
            "2026-03-01T00:00:00Z,0190b1c2-0000-7000-8000-00000000000a,1",
            "2026-03-01T00:00:00Z,0190b1c2-0000-7000-8000-00000000000a,1,x",
            "2026-03-01T00:00:00Z,0190b1c2-0000-7000-8000-00000000000a,99999999999,1",
            "now,0190b1c2-0000-7000-8000-00000000000a",
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
