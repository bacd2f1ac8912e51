//! Answers as gzip (RFC 1952), of which all but the last bytes is made once.
//!
//! What is kept ends with a whole byte (a sync flush of RFC 1951), so that what differs each
//! time can follow it as it is, in a last block that is stored and not compressed.

use std::{
    io::{self, Write},
    mem,
};

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::{Compression, write::DeflateEncoder};

/// Without a name, a time or a system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Of a block that is the last, and stored.
const LAST_STORED: u8 = 1;

/// What is known of the bytes that were compressed, which a reader checks at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    crc: u32,
    length: u64,
}

/// The beginning of a gzip stream that holds these bytes.
pub(super) fn begin(bytes: &[u8]) -> io::Result<(Bytes, Sum)> {
    let mut encoder = DeflateEncoder::new(HEAD.to_vec(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.flush()?;
    let stream = mem::take(encoder.get_mut());
    let sum = Sum {
        crc: crc32fast::hash(bytes),
        length: bytes.len() as u64,
    };
    Ok((stream.into_boxed_slice().into(), sum))
}

/// The end of a stream that was begun with `sum`, with some more bytes: at most 64 KiB.
pub(super) fn end(sum: Sum, more: &[u8]) -> Bytes {
    let length = u16::try_from(more.len()).expect("a short end");
    let mut crc = Hasher::new_with_initial_len(sum.crc, sum.length);
    crc.update(more);
    // Both modulo 2^32, as the format has it.
    let whole = (sum.length + more.len() as u64) as u32;
    let mut end = Vec::with_capacity(more.len() + 13);
    end.push(LAST_STORED);
    end.extend(length.to_le_bytes());
    end.extend((!length).to_le_bytes());
    end.extend(more);
    end.extend(crc.finalize().to_le_bytes());
    end.extend(whole.to_le_bytes());
    end.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// By a reader that takes one stream and nothing after it.
        #[test]
        fn what_is_read_is_both_parts(
            first in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..2000),
                "(\\{\"count\":[0-9]{1,3}\\},){0,5000}".prop_map(String::into_bytes),
            ],
            ends in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..3),
        ) {
            let (begun, sum) = begin(&first).unwrap();
            for more in ends {
                let stream = [&begun[..], &end(sum, &more)].concat();
                let (mut read, mut decoder) = (Vec::new(), GzDecoder::new(&stream[..]));
                decoder.read_to_end(&mut read).unwrap();
                prop_assert_eq!(read, [&first[..], &more].concat());
                prop_assert!(decoder.into_inner().is_empty());
            }
        }
    }
}
