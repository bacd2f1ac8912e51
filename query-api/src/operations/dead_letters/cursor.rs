//! Where a page of letters ended, as an opaque text. It holds no right: the organization comes
//! from the token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemas::Timestamp;
use uuid::Uuid;

/// More than the longest.
const MAX_CHARS: usize = 256;

/// A position in the letters of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Of the query it belongs to.
    pub(super) fingerprint: Uuid,
    /// The query's range, which by default ends now.
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) after: Place,
}

/// A letter's place among those of an organization: the latest come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) failed_at: Timestamp,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl Cursor {
    pub(super) fn encode(&self) -> String {
        let Place {
            failed_at,
            partition,
            offset,
        } = self.after;
        let [start, end, at] = [self.start, self.end, failed_at].map(Timestamp::micros);
        let text = format!(
            "{} {start} {end} {at} {partition} {offset}",
            self.fingerprint
        );
        URL_SAFE_NO_PAD.encode(text)
    }

    /// What [`Cursor::encode`] wrote; `None` of anything else.
    pub(super) fn decode(text: &str) -> Option<Self> {
        if text.len() > MAX_CHARS {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.split(' ');
        let fingerprint = parts.next()?.parse().ok()?;
        let mut instant = || Timestamp::from_micros(parts.next()?.parse().ok()?).ok();
        let (start, end, failed_at) = (instant()?, instant()?, instant()?);
        let cursor = Self {
            fingerprint,
            start,
            end,
            after: Place {
                failed_at,
                partition: parts.next()?.parse().ok()?,
                offset: parts.next()?.parse().ok()?,
            },
        };
        parts.next().is_none().then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u128, at in 0_i64..1 << 50, partition: i32, offset: i64) {
            let at = Timestamp::from_micros(at).unwrap();
            let after = Place { failed_at: at, partition, offset };
            let cursor = Cursor { fingerprint: Uuid::from_u128(id), start: at, end: at, after };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn anything_else_is_none(text in ".{0,300}") {
            prop_assert_eq!(Cursor::decode(&text), None);
            prop_assert_eq!(Cursor::decode(&URL_SAFE_NO_PAD.encode(&text)), None);
        }
    }
}
