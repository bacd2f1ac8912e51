//! What cursors of pages begin with, as an opaque text: the query they belong to, its range, and
//! the instant at which the page ended.
//!
//! A cursor holds no secret and no right: what may be read comes from the token, and a made-up
//! cursor only chooses where in one's own rows to go on.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemas::Timestamp;
use uuid::Uuid;

/// Of the encoding; another one is refused.
const VERSION: u8 = 1;

/// The beginning of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Of the query it belongs to.
    pub(crate) fingerprint: Uuid,
    /// The query's range. Kept because the default range ends now, and pages that are asked
    /// for later must be of the same rows.
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// The instant of the last row.
    pub(crate) at: Timestamp,
}

impl Head {
    /// The text of a cursor that goes on with `tail`.
    pub(crate) fn encode(&self, tail: &[u8]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(self.fingerprint.as_bytes());
        for instant in [self.start, self.end, self.at] {
            bytes.extend_from_slice(&instant.micros().to_be_bytes());
        }
        bytes.extend_from_slice(tail);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What [`Head::encode`] wrote, with its tail; `None` of anything else, and of what is
    /// longer than `max_chars`.
    pub(crate) fn decode(text: &str, max_chars: usize) -> Option<(Self, Vec<u8>)> {
        if text.len() > max_chars {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != [VERSION] {
            return None;
        }
        let fingerprint = Uuid::from_bytes(take(&mut rest)?);
        let mut instant = || Timestamp::from_micros(i64::from_be_bytes(take(&mut rest)?)).ok();
        let head = Self {
            fingerprint,
            start: instant()?,
            end: instant()?,
            at: instant()?,
        };
        Some((head, rest.to_vec()))
    }
}

/// The next so many bytes.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}
