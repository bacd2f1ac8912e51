//! Where a page ended, as an opaque text.

use schemas::Timestamp;
use uuid::Uuid;

use super::group::Key;
use crate::page_cursor::{Head, take};

/// More than the longest: 53 bytes and a name of 255 characters, in base64.
const MAX_CHARS: usize = 2048;

/// A position in the rows of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Of the query it belongs to.
    pub(crate) fingerprint: Uuid,
    /// The query's range. Kept because the default range ends now, and pages
    /// that are asked for later must be of the same rows.
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// The last row of the page.
    pub(crate) bucket_start: Timestamp,
    pub(crate) key: Key,
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let mut tail = Vec::new();
        match &self.key {
            Key::All => tail.push(0),
            Key::Id(None) => tail.push(1),
            Key::Id(Some(id)) => {
                tail.push(2);
                tail.extend_from_slice(id.as_bytes());
            }
            Key::Name(Some(name)) => {
                tail.push(3);
                tail.extend_from_slice(name.as_bytes());
            }
            Key::Name(None) => tail.push(4),
        }
        let head = Head {
            fingerprint: self.fingerprint,
            start: self.start,
            end: self.end,
            at: self.bucket_start,
        };
        head.encode(&tail)
    }

    /// What [`Cursor::encode`] wrote; `None` of anything else.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let (head, tail) = Head::decode(text, MAX_CHARS)?;
        let mut rest = tail.as_slice();
        let [tag] = take(&mut rest)?;
        let key = match tag {
            0 if rest.is_empty() => Key::All,
            1 if rest.is_empty() => Key::Id(None),
            2 => Key::Id(Some(Uuid::from_slice(rest).ok()?)),
            // PostgreSQL has no text with U+0000.
            3 if !rest.contains(&0) => Key::Name(Some(str::from_utf8(rest).ok()?.to_owned())),
            4 if rest.is_empty() => Key::Name(None),
            _ => return None,
        };
        Some(Self {
            fingerprint: head.fingerprint,
            start: head.start,
            end: head.end,
            bucket_start: head.at,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Key> {
        prop_oneof![
            Just(Key::All),
            any::<Option<u128>>().prop_map(|id| Key::Id(id.map(Uuid::from_u128))),
            prop::option::of("[^\u{0}]{0,255}").prop_map(Key::Name),
        ]
    }

    fn instant() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.micros()..=Timestamp::MAX.micros())
            .prop_map(|micros| Timestamp::from_micros(micros).unwrap())
    }

    proptest! {
        #[test]
        fn it_goes_both_ways(
            fingerprint in any::<u128>(),
            instants in (instant(), instant(), instant()),
            key in key(),
        ) {
            let cursor = Cursor {
                fingerprint: Uuid::from_u128(fingerprint),
                start: instants.0,
                end: instants.1,
                bucket_start: instants.2,
                key,
            };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn any_bytes_are_safe_and_have_one_text(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = bytes;
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
        fn any_text_is_safe(text in ".{0,100}") {
            Cursor::decode(&text);
        }
    }

    #[test]
    fn what_is_too_long_is_not_looked_at() {
        assert_eq!(Cursor::decode(&"A".repeat(MAX_CHARS + 1)), None);
        assert_eq!(Cursor::decode(""), None);
    }
}
