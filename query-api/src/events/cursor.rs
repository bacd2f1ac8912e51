//! Where a page of a list ended, as an opaque text.
//!
//! It holds no secret and no right: what may be read comes from the token, and a made-up cursor
//! only chooses where in one's own rows to go on.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemas::Timestamp;
use uuid::Uuid;

use super::position::{Place, Position};

/// Of the encoding; another one is refused.
const VERSION: u8 = 1;

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
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(self.fingerprint.as_bytes());
        for instant in [self.start, self.end, self.position.at] {
            bytes.extend_from_slice(&instant.micros().to_be_bytes());
        }
        if let Some(place) = self.position.place {
            bytes.extend_from_slice(place.event_id.as_bytes());
            bytes.extend_from_slice(&place.partition.to_be_bytes());
            bytes.extend_from_slice(&place.offset.to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What [`Cursor::encode`] wrote; `None` of anything else.
    pub(super) fn decode(text: &str) -> Option<Self> {
        if text.len() > MAX_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != [VERSION] {
            return None;
        }
        let fingerprint = Uuid::from_bytes(take(&mut rest)?);
        let mut instant = || Timestamp::from_micros(i64::from_be_bytes(take(&mut rest)?)).ok();
        let (start, end, at) = (instant()?, instant()?, instant()?);
        let place = match rest {
            [] => None,
            _ => Some(Place {
                event_id: Uuid::from_bytes(take(&mut rest)?),
                partition: i32::from_be_bytes(take(&mut rest)?),
                offset: i64::from_be_bytes(take(&mut rest)?),
            }),
        };
        rest.is_empty().then_some(Self {
            fingerprint,
            start,
            end,
            position: Position { at, place },
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

#[cfg(test)]
mod tests {
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
