//! `traceparent` of W3C Trace Context (<https://www.w3.org/TR/trace-context/>): a request's
//! place in a trace that begins before us and goes on after us.

use std::{fmt, str::FromStr};

/// Place in a trace, as a caller told it. We make no spans of our own and hand it on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// A text that is no `traceparent`. To be ignored, as the standard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTraceparent;

impl TraceContext {
    /// The trace's id: 32 lower-case hexadecimal digits, not all of them zero.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// As a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            parent_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{parent_id:016x}-{flags:02x}")
    }
}

/// Section 3.2: of version 00 exactly what that version says; of a later one what it has in
/// common with 00, and whatever follows after another dash; of ff nothing.
impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let mut fields = text.splitn(5, '-');
        let mut hex = |digits| fields.next().and_then(|field| lower_hex(field, digits));
        let fields = (hex(2), hex(32), hex(16), hex(2));
        let (Some(version), Some(trace_id), Some(parent_id), Some(flags)) = fields else {
            return Err(InvalidTraceparent);
        };
        let whole = text.len() == "00-".len() + 32 + "-".len() + 16 + "-00".len();
        if version == 0xff || (version == 0 && !whole) || trace_id == 0 || parent_id == 0 {
            return Err(InvalidTraceparent);
        }
        Ok(Self {
            trace_id,
            parent_id: u64::try_from(parent_id).map_err(|_| InvalidTraceparent)?,
            // Only the bits that have a meaning (sampled, random) may be handed on.
            flags: u8::try_from(flags).map_err(|_| InvalidTraceparent)? & 0b11,
        })
    }
}

/// The number, if the text is so many lower-case hexadecimal digits.
fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    let sound = text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    sound.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_sound_one_is_taken_and_given_as_it_is() {
        let context: TraceContext = SOUND.parse().unwrap();
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.to_string(), SOUND);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_we_know_it() {
        for later in [
            format!("01{}", &SOUND[2..]),
            format!("cc{}-what-may-come", &SOUND[2..]),
        ] {
            let context: TraceContext = later.parse().unwrap();
            assert_eq!(context.to_string(), SOUND, "{later}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_none() {
        for odd in [
            "",
            "00",
            &SOUND[..54],
            &format!("{SOUND}-"),
            &format!("{SOUND}-more"),
            &format!("{SOUND} "),
            &SOUND.to_uppercase(),
            &format!("ff{}", &SOUND[2..]),
            &format!("01{}x", &SOUND[2..]),
            &format!("0g{}", &SOUND[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        ] {
            assert_eq!(
                odd.parse::<TraceContext>(),
                Err(InvalidTraceparent),
                "{odd}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_can_be_handed_on(text in "\\PC{0,60}|0[01]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?") {
            if let Ok(context) = text.parse::<TraceContext>() {
                prop_assert_eq!(context.to_string().parse(), Ok(context));
            }
        }
    }
}
