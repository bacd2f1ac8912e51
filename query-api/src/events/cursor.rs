//! Where a page of a list ended, as an opaque text.

use schemas::Timestamp;
use uuid::Uuid;

use super::position::{Place, Position};
use crate::page_cursor::{Head, take};

/// More than the longest: 69 bytes in base64.
const MAX_CHARS: usize = 128;

/// A position in the rows of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Of the query it belongs to.
    pub(super) fingerprint: Uuid,
    /// The query's range. Kept because the default range ends now, and pages that are asked
    /// for later must be of the same rows.
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// What was answered.
    pub(super) position: Position,
}

impl Cursor {
    pub(super) fn encode(&self) -> String {
        let mut tail = Vec::new();
        if let Some(place) = self.position.place {
            tail.extend_from_slice(place.event_id.as_bytes());
            tail.extend_from_slice(&place.partition.to_be_bytes());
            tail.extend_from_slice(&place.offset.to_be_bytes());
        }
        let head = Head {
            fingerprint: self.fingerprint,
            start: self.start,
            end: self.end,
            at: self.position.at,
        };
        head.encode(&tail)
    }

    /// What [`Cursor::encode`] wrote; `None` of anything else.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let (head, tail) = Head::decode(text, MAX_CHARS)?;
        let mut rest = tail.as_slice();
        let place = match rest {
            [] => None,
            _ => Some(Place {
                event_id: Uuid::from_bytes(take(&mut rest)?),
                partition: i32::from_be_bytes(take(&mut rest)?),
                offset: i64::from_be_bytes(take(&mut rest)?),
            }),
        };
        rest.is_empty().then_some(Self {
            fingerprint: head.fingerprint,
            start: head.start,
            end: head.end,
            position: Position { at: head.at, place },
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn instant() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.micros()..=Timestamp::MAX.micros())
            .prop_map(|micros| Timestamp::from_micros(micros).unwrap())
    }

    proptest! {
        #[test]
        fn it_goes_both_ways(
            fingerprint in any::<u128>(),
            instants in (instant(), instant(), instant()),
            place in any::<Option<(u128, i32, i64)>>(),
        ) {
            let place = place.map(|(id, partition, offset)| Place {
                event_id: Uuid::from_u128(id),
                partition,
                offset,
            });
            let cursor = Cursor {
                fingerprint: Uuid::from_u128(fingerprint),
                start: instants.0,
                end: instants.1,
                position: Position { at: instants.2, place },
            };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn any_bytes_are_safe_and_have_one_text(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            // Half of them, to get past the version.
            if let Some(first) = bytes.first_mut() {
                *first &= 1;
            }
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            if let Some(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }

        #[test]
        fn any_text_is_safe(text in ".{0,200}") {
            Cursor::decode(&text);
        }
    }
}
