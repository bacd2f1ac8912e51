//! What a replay writes: where a record that is sent again comes from, and the marker that
//! says that its dead letter has been replayed.

use std::{fmt, str::FromStr};

use super::MalformedEnvelope;

/// The header of a record that was sent again: the [`Position`] where it was refused. Its own,
/// so that it is kept when the record is admitted, or refused once more.
pub const REPLAY_OF: &str = "flowmeter.replay-of";

const REPLAYED: &str = "flowmeter.dead-letter.replayed";
const REPLAYED_OFFSET: &str = "flowmeter.dead-letter.replayed-offset";

/// Where a record is, written `topic/partition/offset`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// The text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position like metrics.user-sessions/0/17: topic, partition and offset")]
pub struct MalformedPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Position {
    type Err = MalformedPosition;

    fn from_str(text: &str) -> Result<Self, MalformedPosition> {
        let mut parts = text.split('/');
        let (topic, partition, offset) = (parts.next(), parts.next(), parts.next());
        let (Some(topic), Some(partition), Some(offset), None) =
            (topic, partition, offset, parts.next())
        else {
            return Err(MalformedPosition);
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        // Kafka allows these alone, and a database does not allow everything else.
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if topic.is_empty() || !topic.bytes().all(named) || !digits(partition) || !digits(offset) {
            return Err(MalformedPosition);
        }
        Ok(Self {
            topic: topic.to_owned(),
            partition: partition.parse().map_err(|_| MalformedPosition)?,
            offset: offset.parse().map_err(|_| MalformedPosition)?,
        })
    }
}

/// A marker: a dead letter has been replayed. It stands behind the letter in the letter's own
/// partition, has its key and no value, and is written in the transaction that sends the
/// record again. When that was, is its log time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Where the letter's record was.
    pub source: Position,
    /// The letter's own offset. The source alone would not do: a topic that was deleted and
    /// made anew has the same positions once more.
    pub letter_offset: i64,
}

impl Replayed {
    /// As headers: name and value. They are of an envelope's, so that no record can bring
    /// them along into a dead letter.
    pub fn headers(&self) -> [(&'static str, String); 2] {
        [
            (REPLAYED, self.source.to_string()),
            (REPLAYED_OFFSET, self.letter_offset.to_string()),
        ]
    }

    /// Reads a marker; `header` gives the value of a name. `None` if the record is none.
    pub fn from_headers<'a>(
        header: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Option<Result<Self, MalformedEnvelope>> {
        fn parsed<T: FromStr>(
            name: &'static str,
            value: Option<&[u8]>,
        ) -> Result<T, MalformedEnvelope> {
            value
                .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
                .ok_or(MalformedEnvelope(name))
        }
        let source = header(REPLAYED)?;
        Some(parsed(REPLAYED, Some(source)).and_then(|source| {
            Ok(Self {
                source,
                letter_offset: parsed(REPLAYED_OFFSET, header(REPLAYED_OFFSET))?,
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::DeadLetter;
    use super::*;

    proptest! {
        #[test]
        fn a_position_goes_both_ways(
            topic in "[a-zA-Z0-9._-]{1,20}", partition in 0..i32::MAX, offset in 0..i64::MAX
        ) {
            let position = Position { topic, partition, offset };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn what_is_read_as_a_position_is_written_alike(text in "[a-z/0-9+-]{0,12}") {
            if let Ok(position) = text.parse::<Position>() {
                let (_, numbers) = text.split_once('/').unwrap();
                let plain = |number: &str| number.parse::<i64>().unwrap();
                let (partition, offset) = numbers.split_once('/').unwrap();
                prop_assert_eq!(plain(partition), i64::from(position.partition));
                prop_assert_eq!(plain(offset), position.offset);
            }
        }
    }

    #[test]
    fn nothing_else_is_a_position() {
        for text in [
            "", "t", "t/1", "/1/2", "t/1/2/3", "t/-1/2", "t/1/+2", "t//2", "t/1/", "\0/1/2",
        ] {
            assert_eq!(text.parse::<Position>(), Err(MalformedPosition), "{text}");
        }
    }

    #[test]
    fn a_marker_goes_both_ways_and_cannot_be_brought_along() {
        let marker = Replayed {
            source: "metrics.user-sessions/3/17".parse().unwrap(),
            letter_offset: 1 << 40,
        };
        let headers = marker.headers();
        let get = |name: &str| {
            let found = headers.iter().find(|(n, _)| *n == name)?;
            Some(found.1.as_bytes())
        };
        assert_eq!(Replayed::from_headers(get), Some(Ok(marker.clone())));
        assert!(
            headers
                .iter()
                .all(|(n, _)| DeadLetter::is_envelope_header(n))
        );
        assert!(!DeadLetter::is_envelope_header(REPLAY_OF));
        assert_eq!(Replayed::from_headers(|_| None), None);
        let source_alone = |name: &str| get(name).filter(|_| name == REPLAYED);
        assert_eq!(
            Replayed::from_headers(source_alone),
            Some(Err(MalformedEnvelope(REPLAYED_OFFSET)))
        );
    }
}
