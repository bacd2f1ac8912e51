//! The envelope of a refused record: everything about it but its key, value and own
//! headers, which stay as they were.

mod replay;

use uuid::Uuid;

pub use self::replay::{MalformedPosition, Position, REPLAY_OF, Replayed};
use crate::Timestamp;

/// Why a record was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The record has no value.
    NoValue,
    /// The value does not begin as the Confluent wire format says, and no header names a
    /// schema.
    BadFraming,
    /// The registry knows no such schema.
    UnknownSchema,
    /// The registry's schema is not one we can read.
    UnusableSchema,
    /// The value does not follow its schema, or the schema lacks our fields.
    Undecodable,
    /// Fields break the rules.
    Invalid,
    /// The key is not `organization_id:user_id` of the value.
    WrongKey,
    /// Another event with this id came before, and says something else.
    ConflictingDuplicate,
    /// A record of a topic of ours does not carry the headers that belong to it.
    MalformedEnvelope,
    /// The event was admitted, and the database refuses its row or what it adds to rollups.
    RefusedByDatabase,
}

impl Reason {
    /// The stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoValue => "no_value",
            Self::BadFraming => "bad_framing",
            Self::UnknownSchema => "unknown_schema",
            Self::UnusableSchema => "unusable_schema",
            Self::Undecodable => "undecodable",
            Self::Invalid => "invalid",
            Self::WrongKey => "wrong_key",
            Self::ConflictingDuplicate => "conflicting_duplicate",
            Self::MalformedEnvelope => "malformed_envelope",
            Self::RefusedByDatabase => "refused_by_database",
        }
    }
}

/// What the envelope says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the record was.
    pub source_topic: String,
    /// In which partition.
    pub source_partition: i32,
    /// At which offset.
    pub source_offset: i64,
    /// The code of [`Reason`]; text, because newer services may write new ones.
    pub reason: String,
    /// For people: what was wrong, without any value of the record.
    pub message: String,
    /// Which stage refused it.
    pub stage: String,
    /// The source record's log time, so that it is the same in every retry.
    pub recorded_at: Timestamp,
    /// Which event it was, if it could be read that far.
    pub event_id: Option<Uuid>,
}

/// The names of the envelope's headers. The prefix keeps them apart from the record's own.
const PREFIX: &str = "flowmeter.dead-letter.";
const SOURCE_TOPIC: &str = "flowmeter.dead-letter.source-topic";
const SOURCE_PARTITION: &str = "flowmeter.dead-letter.source-partition";
const SOURCE_OFFSET: &str = "flowmeter.dead-letter.source-offset";
const REASON: &str = "flowmeter.dead-letter.reason";
const MESSAGE: &str = "flowmeter.dead-letter.message";
const STAGE: &str = "flowmeter.dead-letter.stage";
const TIME: &str = "flowmeter.dead-letter.time";
const EVENT_ID: &str = "flowmeter.dead-letter.event-id";

/// The record carries no such envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} is missing or malformed")]
pub struct MalformedEnvelope(&'static str);

impl DeadLetter {
    /// Whether its event was admitted and counts for all but the database, so that it belongs
    /// back where it was refused: among the admitted events.
    pub fn was_admitted(&self) -> bool {
        self.reason == Reason::RefusedByDatabase.as_str()
    }

    /// Longest message, in bytes, so that an envelope stays small.
    pub const MAX_MESSAGE_BYTES: usize = 4096;

    /// Whether a header belongs to an envelope. A refused record that carries such headers
    /// itself (a dead letter put back on a topic) loses them.
    pub fn is_envelope_header(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// Where the record was.
    pub fn source(&self) -> Position {
        Position {
            topic: self.source_topic.clone(),
            partition: self.source_partition,
            offset: self.source_offset,
        }
    }

    /// As headers: name and value.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let end = self.message.floor_char_boundary(Self::MAX_MESSAGE_BYTES);
        let mut headers = vec![
            (SOURCE_TOPIC, self.source_topic.clone()),
            (SOURCE_PARTITION, self.source_partition.to_string()),
            (SOURCE_OFFSET, self.source_offset.to_string()),
            (REASON, self.reason.clone()),
            (MESSAGE, self.message[..end].to_owned()),
            (STAGE, self.stage.clone()),
            (TIME, self.recorded_at.to_string()),
        ];
        headers.extend(self.event_id.map(|id| (EVENT_ID, id.to_string())));
        headers
    }

    /// Reads an envelope; `header` gives the value of a name.
    ///
    /// # Errors
    /// Which header is missing or cannot be read.
    pub fn from_headers<'a>(
        header: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<Self, MalformedEnvelope> {
        let text = |name: &'static str| {
            header(name)
                .and_then(|value| std::str::from_utf8(value).ok())
                .ok_or(MalformedEnvelope(name))
        };
        fn parsed<T: std::str::FromStr>(
            name: &'static str,
            text: &str,
        ) -> Result<T, MalformedEnvelope> {
            text.parse().map_err(|_| MalformedEnvelope(name))
        }
        Ok(Self {
            source_topic: text(SOURCE_TOPIC)?.to_owned(),
            source_partition: parsed(SOURCE_PARTITION, text(SOURCE_PARTITION)?)?,
            source_offset: parsed(SOURCE_OFFSET, text(SOURCE_OFFSET)?)?,
            reason: text(REASON)?.to_owned(),
            message: text(MESSAGE)?.to_owned(),
            stage: text(STAGE)?.to_owned(),
            recorded_at: parsed(TIME, text(TIME)?)?,
            event_id: match header(EVENT_ID) {
                Some(_) => Some(parsed(EVENT_ID, text(EVENT_ID)?)?),
                None => None,
            },
        })
    }
}

/// The organization that a record's key, `organization_id:user_id`, names.
pub fn organization_of(key: &[u8]) -> Option<Uuid> {
    let (organization, _) = std::str::from_utf8(key).ok()?.split_once(':')?;
    organization.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_an_organization_only_as_ours_do() {
        let key = "00000000-0000-0000-0000-000000000007:me";
        assert_eq!(organization_of(key.as_bytes()), Some(Uuid::from_u128(7)));
        for key in [&b"\xff:"[..], b"", b"me:you", &key.as_bytes()[..36]] {
            assert_eq!(organization_of(key), None);
        }
    }

    #[test]
    fn an_envelope_goes_both_ways_and_a_long_message_is_cut_at_a_character() {
        let letter = DeadLetter {
            source_topic: "t".into(),
            source_partition: 3,
            source_offset: 1 << 40,
            reason: Reason::Invalid.as_str().into(),
            message: "é".repeat(DeadLetter::MAX_MESSAGE_BYTES),
            stage: "aggregator".into(),
            recorded_at: "2026-01-01T00:00:00.001Z".parse().unwrap(),
            event_id: Some(Uuid::from_u128(7)),
        };
        let headers = letter.headers();
        let get = |name: &str| {
            headers
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.as_bytes())
        };
        let back = DeadLetter::from_headers(get).unwrap();
        assert_eq!(back.message, "é".repeat(DeadLetter::MAX_MESSAGE_BYTES / 2));
        assert_eq!(
            DeadLetter {
                message: letter.message.clone(),
                ..back
            },
            letter
        );
        assert!(
            headers
                .iter()
                .all(|(n, _)| DeadLetter::is_envelope_header(n))
        );
        assert_eq!(
            DeadLetter::from_headers(|n| get(n).filter(|_| n != TIME)),
            Err(MalformedEnvelope(TIME))
        );
        let unread = DeadLetter::from_headers(|n| get(n).filter(|_| n != EVENT_ID)).unwrap();
        assert_eq!(unread.event_id, None);
    }
}
