//! Where an admitted event came from: its record's place and time in the log.

use std::fmt;

use crate::{EventKind, Timestamp};

/// The place of a record of a topic of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Which of the topics.
    pub kind: EventKind,
    /// The partition there.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// When the log took it, to the millisecond.
    pub log_time: Timestamp,
}

/// The header is missing or says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header {} is missing or malformed", Source::HEADER)]
pub struct MalformedSource;

impl Source {
    /// The header of an admitted event: kind, partition, offset and log time in milliseconds
    /// since 1970, separated by slashes.
    pub const HEADER: &'static str = "flowmeter.source";

    /// Reads the header's value.
    ///
    /// # Errors
    /// If it is none that [`Source`] writes.
    pub fn from_header(value: Option<&[u8]>) -> Result<Self, MalformedSource> {
        let text = value.and_then(|value| std::str::from_utf8(value).ok());
        text.and_then(Self::parse).ok_or(MalformedSource)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let kind = parts.next()?;
        let source = Self {
            kind: EventKind::ALL.into_iter().find(|k| k.as_str() == kind)?,
            partition: parts.next()?.parse().ok()?,
            offset: parts.next()?.parse().ok()?,
            log_time: Timestamp::from_millis(parts.next()?.parse().ok()?).ok()?,
        };
        parts.next().is_none().then_some(source)
    }

    /// Writes the header's value after what `text` holds. Every event that is admitted has one:
    /// `fmt` takes several times as long for its numbers.
    pub fn write_to(&self, text: &mut String) {
        let mut digits = itoa::Buffer::new();
        let millis = self.log_time.micros().div_euclid(1000);
        text.push_str(self.kind.as_str());
        for number in [i64::from(self.partition), self.offset, millis] {
            text.push('/');
            text.push_str(digits.format(number));
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_to(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_goes_both_ways_and_nothing_else_is_one() {
        for kind in EventKind::ALL {
            let source = Source {
                kind,
                partition: 3,
                offset: 1 << 40,
                log_time: Timestamp::from_millis(1_800_000_000_123).unwrap(),
            };
            let text = source.to_string();
            assert_eq!(text, format!("{kind}/3/1099511627776/1800000000123"));
            assert_eq!(Source::from_header(Some(text.as_bytes())), Ok(source));
            for broken in [format!("{text}/1"), text[1..].to_owned(), String::new()] {
                let read = Source::from_header(Some(broken.as_bytes()));
                assert_eq!(read, Err(MalformedSource), "{broken}");
            }
        }
        assert_eq!(Source::from_header(None), Err(MalformedSource));
    }
}
