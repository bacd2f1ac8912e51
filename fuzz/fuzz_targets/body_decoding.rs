//! A body with a `Content-Encoding`: whatever it holds, it takes no more memory than its
//! limit allows, and without an encoding it is what it was.

#![no_main]

// Of `platform`, which would bring Kafka's client and a TLS library with it.
#[path = "../../platform/src/http/encoding.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod encoding;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (which, limit, body) = input;
    let limit = usize::from(limit);
    let which = match which % 3 {
        0 => encoding::Encoding::Identity,
        1 => encoding::Encoding::Gzip,
        _ => encoding::Encoding::Zstd,
    };
    let mut taken = 0;
    let decoded = encoding::decode(which, body, limit, |more| {
        taken += more;
        true
    });
    assert!(taken <= limit + 1);
    match decoded {
        Ok(decoded) => {
            assert!(decoded.len() <= limit && decoded.capacity() == taken);
            assert!(which != encoding::Encoding::Identity || decoded == body);
        }
        Err(error) => assert_ne!(error, encoding::DecodeError::NoRoom),
    }
    let _named = encoding::Encoding::of([body]);
});
