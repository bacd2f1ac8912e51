//! Which program posted or produced an event, and of which version.

/// The header of a record that names the program it comes from. The gateway takes it from the
/// request's `User-Agent`; who produces to Kafka may set it.
pub const HEADER: &str = "flowmeter.client";

/// The longest name, in bytes.
pub const MAX_BYTES: usize = 100;

/// The name in a header's value: its first [`MAX_BYTES`] bytes of printable ASCII, up to the
/// first that is none, without spaces around. `None` if nothing is left.
pub fn name(value: &[u8]) -> Option<&str> {
    let printable = |byte: &u8| matches!(byte, b' '..=b'~');
    let end = value
        .iter()
        .take(MAX_BYTES)
        .take_while(|b| printable(b))
        .count();
    let name = std::str::from_utf8(&value[..end]).ok()?.trim();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(name(b"hook/1.2 (linux)"), Some("hook/1.2 (linux)"));
        assert_eq!(name(b" hook/1.2\n"), Some("hook/1.2"));
        assert_eq!(name("hook/é".as_bytes()), Some("hook/"));
        assert_eq!(name(&[b'x'; 101]).map(str::len), Some(100));
        for nothing in [&b""[..], b"  ", b"\xff", b"\x1b[2J"] {
            assert_eq!(name(nothing), None);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_name_again(value: Vec<u8>) {
            if let Some(once) = name(&value) {
                prop_assert!(once.len() <= MAX_BYTES);
                prop_assert_eq!(name(once.as_bytes()), Some(once));
            }
        }
    }
}
