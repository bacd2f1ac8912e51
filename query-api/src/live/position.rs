//! Up to where a client has been told, and how a cursor says so.
//!
//! A cursor holds no secret and no right: whose rows are told comes from the token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemas::Timestamp;

/// Of the encoding; another one is not known.
const VERSION: u8 = 1;

/// A state of an organization's rows. What comes later is told by the rows that changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of the last change.
    pub(crate) seq: u64,
    /// What was complete.
    pub(crate) watermark: Option<Timestamp>,
}

impl Position {
    /// Whether it tells nothing that `other` does not.
    pub(crate) fn is_within(self, other: Self) -> bool {
        self.seq <= other.seq && self.watermark <= other.watermark
    }
}

/// A position, and what it is a position in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The life of the memory that counted the changes: another instance's, or that of the
    /// same one before a restart, has another.
    pub(crate) generation: u64,
    /// The organization and the view.
    pub(crate) fingerprint: u64,
    pub(crate) position: Position,
}

impl Cursor {
    pub(crate) fn encode(self) -> String {
        // No watermark is at this instant.
        let watermark = self.position.watermark.map_or(i64::MIN, Timestamp::micros);
        let mut bytes = Vec::with_capacity(33);
        bytes.push(VERSION);
        bytes.extend(self.generation.to_be_bytes());
        bytes.extend(self.fingerprint.to_be_bytes());
        bytes.extend(self.position.seq.to_be_bytes());
        bytes.extend(watermark.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for what this version does not write. Such a one may be another version's, so
    /// it is answered as one that is too old.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&VERSION, mut rest) = bytes.split_first()? else {
            return None;
        };
        let mut next = || {
            let (number, left) = rest.split_first_chunk::<8>()?;
            rest = left;
            Some(*number)
        };
        let cursor = Self {
            generation: u64::from_be_bytes(next()?),
            fingerprint: u64::from_be_bytes(next()?),
            position: Position {
                seq: u64::from_be_bytes(next()?),
                watermark: Timestamp::from_micros(i64::from_be_bytes(next()?)).ok(),
            },
        };
        rest.is_empty().then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_both_ways_and_nothing_else_is_one() {
        for watermark in [None, Timestamp::from_millis(1_700_000_000_000).ok()] {
            let cursor = Cursor {
                generation: u64::MAX,
                fingerprint: 7,
                position: Position { seq: 9, watermark },
            };
            let text = cursor.encode();
            assert_eq!(Cursor::decode(&text), Some(cursor));
            assert_eq!(Cursor::decode(&text[1..]), None);
            assert_eq!(Cursor::decode(&format!("{text}AA")), None);
        }
        assert_eq!(Cursor::decode(""), None);
        assert_eq!(Cursor::decode("?"), None);
    }
}
