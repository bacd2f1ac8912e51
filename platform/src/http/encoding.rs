//! `Content-Encoding`: gzip and zstd, decoded into a buffer that ends where the limit does.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;

/// The largest window a zstd frame may ask for: 2^23 bytes, what RFC 9659 allows on the web.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The most gzip members of one body. Each costs a decoder's tables anew, so that empty ones
/// by the hundred thousand would be work without end; 10 MiB in blocks of 64 KiB are 160.
const MAX_MEMBERS: usize = 1000;

/// First room for a decoded body, in bytes.
const FIRST_ROOM: usize = 8 * 1024;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952; one member or several.
    Gzip,
    /// RFC 8878; one frame or several.
    Zstd,
}

/// An encoding we do not know, or several on top of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported;

impl Encoding {
    /// What a request's `Content-Encoding` headers say, none being identity.
    ///
    /// # Errors
    /// When they name an unknown encoding or more than one.
    pub fn of<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Unsupported> {
        let mut found = Self::Identity;
        let named = headers
            .into_iter()
            .flat_map(|header| header.split(|byte| *byte == b','));
        for name in named {
            let encoding = match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"" | b"identity" => continue,
                // RFC 9110, section 8.4.1.3: the two are the same.
                b"gzip" | b"x-gzip" => Self::Gzip,
                b"zstd" => Self::Zstd,
                _ => return Err(Unsupported),
            };
            if found != Self::Identity {
                return Err(Unsupported);
            }
            found = encoding;
        }
        Ok(found)
    }
}

/// Why a body could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// It is not what its header says; why, for people.
    Invalid(&'static str),
    /// Decoded it is larger than the limit.
    TooLarge,
    /// `room` refused.
    NoRoom,
}

/// Decodes `encoded` to at most `limit` bytes. Each time memory is needed, `room` is asked
/// for that many bytes first; in all it gives what the result's capacity is.
///
/// # Errors
/// As [`DecodeError`] says. A bomb is noticed at `limit` and a byte.
pub fn decode(
    encoding: Encoding,
    encoded: &[u8],
    limit: usize,
    room: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, DecodeError> {
    match encoding {
        Encoding::Identity => fill(encoded, limit, room, "never"),
        _ if encoded.is_empty() => Err(DecodeError::Invalid("it is empty")),
        Encoding::Gzip => fill(
            Members::of(encoded),
            limit,
            room,
            "it is not gzip, is damaged, or something follows it",
        ),
        Encoding::Zstd => {
            let broken = "it is not zstd, is damaged, something follows it, or its window is larger than 8 MiB";
            let mut decoder = zstd::stream::read::Decoder::with_buffer(encoded)
                .map_err(|_| DecodeError::Invalid(broken))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|_| DecodeError::Invalid(broken))?;
            fill(decoder, limit, room, broken)
        }
    }
}

/// The members of a gzip file, one after the other.
struct Members<'a> {
    member: GzDecoder<&'a [u8]>,
    more: usize,
}

impl<'a> Members<'a> {
    fn of(encoded: &'a [u8]) -> Self {
        Self {
            member: GzDecoder::new(encoded),
            more: MAX_MEMBERS - 1,
        }
    }
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.member.read(buffer)?;
            let rest = *self.member.get_ref();
            if read > 0 || buffer.is_empty() || rest.is_empty() {
                return Ok(read);
            }
            self.more = self
                .more
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("too many members"))?;
            self.member = GzDecoder::new(rest);
        }
    }
}

fn fill(
    mut reader: impl Read,
    limit: usize,
    mut room: impl FnMut(usize) -> bool,
    broken: &'static str,
) -> Result<Vec<u8>, DecodeError> {
    let mut decoded = Vec::new();
    loop {
        let free = match decoded.capacity() - decoded.len() {
            0 => grow(&mut decoded, 1, limit, &mut room)?,
            free => free,
        };
        let read = reader.by_ref().take(free as u64).read_to_end(&mut decoded);
        match read {
            Ok(read) if read < free && decoded.len() <= limit => return Ok(decoded),
            Ok(_) if decoded.len() > limit => return Err(DecodeError::TooLarge),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(DecodeError::Invalid("it ends too early"));
            }
            Err(_) => return Err(DecodeError::Invalid(broken)),
        }
    }
}

/// Makes room for at least `more` bytes beyond those in `buffer`, doubling it, and a byte
/// beyond `limit` at the very most; answers how many bytes are free then.
pub(super) fn grow(
    buffer: &mut Vec<u8>,
    more: usize,
    limit: usize,
    room: &mut impl FnMut(usize) -> bool,
) -> Result<usize, DecodeError> {
    let (length, capacity) = (buffer.len(), buffer.capacity());
    let needed = length.saturating_add(more);
    if needed > limit.saturating_add(1) {
        return Err(DecodeError::TooLarge);
    }
    if needed > capacity {
        let wanted = needed
            .max(capacity.saturating_mul(2))
            .max(FIRST_ROOM)
            .min(limit.saturating_add(1));
        if !room(wanted - capacity) {
            return Err(DecodeError::NoRoom);
        }
        buffer.reserve_exact(wanted - length);
    }
    Ok(buffer.capacity() - length)
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
