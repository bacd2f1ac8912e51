use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::{collection::vec, prelude::*};

use super::*;

const MIB: usize = 1 << 20;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

fn encode(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Identity => plain.to_vec(),
        Encoding::Gzip => gzip(plain),
        Encoding::Zstd => zstd(plain),
    }
}

/// The result, and how much room it took.
fn decode_counting(
    encoding: Encoding,
    encoded: &[u8],
    limit: usize,
) -> (Result<Vec<u8>, DecodeError>, usize) {
    let mut taken = 0;
    let room = |more| {
        taken += more;
        true
    };
    (decode(encoding, encoded, limit, room), taken)
}

fn is_invalid(result: &Result<Vec<u8>, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::Invalid(_)))
}

#[test]
fn one_known_encoding_is_understood() {
    let of = |values: &[&str]| Encoding::of(values.iter().map(|value| value.as_bytes()));
    assert_eq!(of(&[]), Ok(Encoding::Identity));
    assert_eq!(of(&["identity, Identity", ""]), Ok(Encoding::Identity));
    assert_eq!(of(&["GZIP"]), Ok(Encoding::Gzip));
    assert_eq!(of(&[" x-gzip "]), Ok(Encoding::Gzip));
    assert_eq!(of(&["identity, zstd"]), Ok(Encoding::Zstd));
    for odd in [
        &["br"][..],
        &["deflate"],
        &["gzip, gzip"],
        &["gzip", "zstd"],
        &["gzip;q=1"],
        &["gzip br"],
    ] {
        assert_eq!(of(odd), Err(Unsupported), "{odd:?}");
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let two = [encode(encoding, b"one, "), encode(encoding, b"two")].concat();
        let (decoded, _) = decode_counting(encoding, &two, 100);
        assert_eq!(decoded.unwrap(), b"one, two", "{encoding:?}");
    }
}

#[test]
fn what_is_damaged_truncated_or_followed_by_something_is_refused() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let sound = encode(encoding, b"a body of some length, a body of some length");
        let refused = |bytes: &[u8]| is_invalid(&decode_counting(encoding, bytes, MIB).0);
        for end in 0..sound.len() {
            assert!(refused(&sound[..end]), "{encoding:?} {end}");
        }
        for garbage in [&b"\0"[..], b"x", b"garbage", &[0; 100]] {
            assert!(refused(&[&sound, garbage].concat()), "{encoding:?}");
        }
        assert!(refused(b"{\"user_id\": 1}"), "{encoding:?}");
    }
    let mut damaged = gzip(b"a body");
    let checksum = damaged.len() - 5;
    damaged[checksum] ^= 1;
    assert!(is_invalid(
        &decode_counting(Encoding::Gzip, &damaged, MIB).0
    ));
}

#[test]
fn a_bomb_takes_no_more_room_than_the_limit() {
    let zeros = vec![0; 10 * MIB];
    let part = gzip(&zeros);
    // 10 GiB in 10 MiB; and a frame that is all repetition.
    let many = part.repeat(1000);
    for (encoding, bomb) in [
        (Encoding::Gzip, many),
        (Encoding::Zstd, zstd(&zeros).repeat(1000)),
    ] {
        for limit in [0, 1, 1000, 64 * 1024, MIB] {
            let (decoded, taken) = decode_counting(encoding, &bomb, limit);
            assert_eq!(decoded, Err(DecodeError::TooLarge), "{encoding:?} {limit}");
            assert!(taken <= limit + 1, "{encoding:?} {limit} {taken}");
        }
    }
}

#[test]
fn a_window_larger_than_8_mib_is_refused() {
    // A frame's header that asks for a window of 128 MiB (exponent 17 above 2^10), and a
    // raw last block of one byte.
    let with_window = |exponent: u8| {
        [
            &[0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3][..],
            &[9, 0, 0, b'x'],
        ]
        .concat()
    };
    assert!(is_invalid(
        &decode_counting(Encoding::Zstd, &with_window(17), MIB).0
    ));
    assert!(is_invalid(
        &decode_counting(Encoding::Zstd, &with_window(14), MIB).0
    ));
    let (decoded, _) = decode_counting(Encoding::Zstd, &with_window(13), MIB);
    assert_eq!(decoded.unwrap(), b"x");
}

#[test]
fn without_room_decoding_ends() {
    let encoded = gzip(&vec![7; MIB]);
    let mut left = 100_000_usize;
    let decoded = decode(Encoding::Gzip, &encoded, 2 * MIB, |more| {
        left.checked_sub(more).map(|rest| left = rest).is_some()
    });
    assert_eq!(decoded, Err(DecodeError::NoRoom));
}

#[test]
fn more_members_than_anybody_writes_are_refused() {
    let member = gzip(b"");
    let decoded = |members| decode_counting(Encoding::Gzip, &member.repeat(members), MIB).0;
    assert_eq!(decoded(MAX_MEMBERS), Ok(Vec::new()));
    assert!(is_invalid(&decoded(MAX_MEMBERS + 1)));
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back_if_it_is_within_the_limit(
        plain in vec(any::<u8>(), 0..30_000), limit in 0..40_000_usize,
    ) {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let (decoded, taken) = decode_counting(encoding, &encode(encoding, &plain), limit);
            prop_assert!(taken <= limit + 1);
            if plain.len() <= limit {
                let decoded = decoded.unwrap();
                prop_assert_eq!(taken, decoded.capacity());
                prop_assert_eq!(&decoded, &plain);
            } else {
                prop_assert_eq!(decoded, Err(DecodeError::TooLarge));
            }
        }
    }

    #[test]
    fn any_bytes_are_safe(bytes in vec(any::<u8>(), 0..200), limit in 0..1000_usize) {
        for (encoding, magic) in [
            (Encoding::Gzip, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0][..]),
            (Encoding::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
        ] {
            for bytes in [bytes.clone(), [magic, &bytes].concat()] {
                let (decoded, taken) = decode_counting(encoding, &bytes, limit);
                prop_assert!(taken <= limit + 1);
                prop_assert!(decoded.map_or(0, |decoded| decoded.len()) <= limit);
            }
        }
    }
}
