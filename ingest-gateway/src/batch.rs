//! A batch taken apart: its lists, and what holds for all of them. The events stay text.

use std::fmt;

use schemas::{EventKind, Fault, Faults, Timestamp, fault::pointer};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{ids::EventIds, posted::Posted};

/// Longest `batch_id` or `Idempotency-Key`, in characters.
pub(crate) const MAX_KEY_CHARS: usize = 255;

/// A batch as sent.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// In the order of [`EventKind::ALL`].
    lists: [Vec<&'a RawValue>; 4],
    /// The time of events that name none.
    pub(crate) timestamp: Option<Timestamp>,
    /// The key of a retry.
    pub(crate) batch_id: Option<String>,
}

/// Why a text is no batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BatchError {
    /// Not JSON; where and why.
    Malformed(String),
    /// JSON, but not what a batch looks like.
    Invalid(Vec<Fault>),
    /// More events than allowed: how many.
    TooMany(usize),
}

impl<'a> Batch<'a> {
    /// Reads a batch of at most `max` events.
    pub(crate) fn read(text: &'a str, max: usize) -> Result<Self, BatchError> {
        match serde_json::from_str::<Members<'a>>(text) {
            Ok(members) => members.into_batch(max),
            Err(_) => Err(why_no_object(text)),
        }
    }

    /// Every event with its place among those of its kind.
    pub(crate) fn events(&self, ids: &EventIds) -> impl Iterator<Item = (usize, Posted<'a>)> {
        EventKind::ALL
            .into_iter()
            .zip(&self.lists)
            .flat_map(move |(kind, list)| {
                let numbered = list.iter().enumerate();
                numbered.map(move |(i, raw)| (i, Posted::plain(kind, raw, ids.id(kind, i))))
            })
    }
}

/// The members of the object: what is `null` counts as absent.
#[derive(Default)]
struct Members<'a> {
    lists: [Option<&'a RawValue>; 4],
    timestamp: Option<&'a RawValue>,
    batch_id: Option<&'a RawValue>,
    faults: Faults,
}

impl<'a> Members<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
        match name {
            "timestamp" => Some(&mut self.timestamp),
            "batch_id" => Some(&mut self.batch_id),
            _ => EventKind::ALL
                .into_iter()
                .position(|kind| kind.plural() == name)
                .map(|at| &mut self.lists[at]),
        }
    }

    fn add(&mut self, name: &str, raw: &'a RawValue) {
        match self.slot(name) {
            Some(slot) if slot.is_some() => {
                self.faults
                    .push(pointer("", name), "duplicate_field", "given more than once");
            }
            Some(slot) => *slot = Some(raw),
            None => {
                let shown: String = name.chars().take(100).collect();
                self.faults.push(
                    pointer("", &shown),
                    "unknown_field",
                    "is not a field of a batch",
                );
            }
        }
    }

    fn into_batch(self, max: usize) -> Result<Batch<'a>, BatchError> {
        let mut faults = self.faults;
        let mut total = 0;
        let mut lists: [Vec<&RawValue>; 4] = Default::default();
        for (i, kind) in EventKind::ALL.into_iter().enumerate() {
            let Some(raw) = present(self.lists[i]) else {
                continue;
            };
            let mut deserializer = serde_json::Deserializer::from_str(raw.get());
            match AtMost(max).deserialize(&mut deserializer) {
                Ok((list, count)) => {
                    total += count;
                    lists[i] = list;
                }
                Err(_) => faults.push(pointer("", kind.plural()), "type", "must be an array"),
            }
        }
        let timestamp = text(self.timestamp, "timestamp", &mut faults)
            .and_then(|text| read_timestamp(&text, &mut faults));
        let batch_id = text(self.batch_id, "batch_id", &mut faults);
        if batch_id.as_deref().is_some_and(|key| !is_key(key)) {
            faults.push("/batch_id", "length", "must have 1 to 255 characters");
        }
        if total > max {
            return Err(BatchError::TooMany(total));
        }
        if total == 0 && faults.is_empty() {
            faults.push("", "empty_batch", "holds no event");
        }
        let batch = Batch {
            lists,
            timestamp,
            batch_id,
        };
        faults.or_value(batch).map_err(BatchError::Invalid)
    }
}

fn at_root(code: &'static str, message: &'static str) -> BatchError {
    BatchError::Invalid(vec![Fault {
        pointer: String::new(),
        code,
        message: message.into(),
    }])
}

/// Whether a key of a retry has an acceptable length.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_CHARS).contains(&key.chars().count())
}

fn present(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

fn text(raw: Option<&RawValue>, name: &str, faults: &mut Faults) -> Option<String> {
    let text = serde_json::from_str(present(raw)?.get()).ok();
    if text.is_none() {
        faults.push(
            pointer("", name),
            "type",
            "must be a string of valid Unicode",
        );
    }
    text
}

fn read_timestamp(text: &str, faults: &mut Faults) -> Option<Timestamp> {
    text.parse()
        .map_err(|error: schemas::timestamp::TimestampError| {
            faults.push("/timestamp", "timestamp", error.to_string());
        })
        .ok()
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Known;
        impl<'de> Visitor<'de> for Known {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
                    members.add(&name, raw);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Known)
    }
}

/// The first elements of an array, and how many there are: a hostile array of millions is
/// counted and not kept.
struct AtMost(usize);

/// An array of at most `max` events.
pub(crate) fn read_array(text: &str, max: usize) -> Result<Vec<&RawValue>, BatchError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = AtMost(max).deserialize(&mut deserializer);
    match read.and_then(|read| deserializer.end().map(|()| read)) {
        Ok((_, count)) if count > max => Err(BatchError::TooMany(count)),
        Ok((list, _)) => Ok(list),
        Err(_) => {
            json(text)?;
            Err(at_root("type", "must be a JSON array"))
        }
    }
}

/// Why a text is not an object with names of valid Unicode.
fn why_no_object(text: &str) -> BatchError {
    match json(text) {
        Err(malformed) => malformed,
        Ok(raw) if !raw.get().starts_with('{') => at_root("type", "must be a JSON object"),
        Ok(_) => at_root("invalid_text", "a field's name is not valid Unicode"),
    }
}

fn json(text: &str) -> Result<&RawValue, BatchError> {
    serde_json::from_str(text).map_err(|e| BatchError::Malformed(e.to_string()))
}

impl<'de> DeserializeSeed<'de> for AtMost {
    type Value = (Vec<&'de RawValue>, usize);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtMost {
    type Value = (Vec<&'de RawValue>, usize);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.0 {
            match seq.next_element()? {
                Some(raw) => kept.push(raw),
                None => break,
            }
        }
        let mut count = kept.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((kept, count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(text: &str) -> Vec<(String, &'static str)> {
        match Batch::read(text, 10) {
            Err(BatchError::Invalid(faults)) => {
                faults.into_iter().map(|f| (f.pointer, f.code)).collect()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_lists_are_read_in_one_order_whatever_the_bodys() {
        let text = r#" {"user_sessions":[{"a":1}], "batch_id":"b", "agent_interactions":null,
            "command_executions":[ 1 ,[2]], "timestamp":"2026-01-31T12:00:00Z"} "#;
        let batch = Batch::read(text, 3).unwrap();
        let events: Vec<_> = batch
            .events(&EventIds::Fresh)
            .map(|(index, posted)| {
                let fields = posted.fields.unwrap().get().to_owned();
                (posted.kind.unwrap(), index, fields)
            })
            .collect();
        assert_eq!(
            events,
            [
                (EventKind::CommandExecution, 0, "1".to_owned()),
                (EventKind::CommandExecution, 1, "[2]".to_owned()),
                (EventKind::UserSession, 0, r#"{"a":1}"#.to_owned()),
            ]
        );
        assert_eq!(batch.batch_id.as_deref(), Some("b"));
        assert_eq!(batch.timestamp, "2026-01-31T12:00:00Z".parse().ok());
    }

    #[test]
    fn every_fault_of_the_envelope_is_told() {
        let long = "x".repeat(256);
        let text = format!(
            r#"{{"user_sessions":{{}}, "events":[], "a/b":0, "timestamp":1, "timestamp":2, "batch_id":"{long}"}}"#
        );
        let mut found = faults(&text);
        found.sort();
        let expected = [
            ("/a~1b", "unknown_field"),
            ("/batch_id", "length"),
            ("/events", "unknown_field"),
            ("/timestamp", "duplicate_field"),
            ("/user_sessions", "type"),
        ];
        assert_eq!(found, expected.map(|(at, code)| (at.to_owned(), code)));
        let at_root = |code| vec![(String::new(), code)];
        assert_eq!(faults("[]"), at_root("type"));
        assert_eq!(faults("{}"), at_root("empty_batch"));
        assert_eq!(faults(r#"{"user_sessions":[]}"#), at_root("empty_batch"));
        assert_eq!(faults(r#"{"\ud800":[]}"#), at_root("invalid_text"));
        assert_eq!(
            faults(r#"{"timestamp":"noon","user_sessions":[1]}"#),
            [("/timestamp".to_owned(), "timestamp")]
        );
    }

    #[test]
    fn no_json_is_no_batch() {
        for text in ["", "{", "{} {}", r#"{"user_sessions":[1,]}"#] {
            let read = Batch::read(text, 10);
            assert!(matches!(read, Err(BatchError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn events_are_counted_over_all_lists() {
        let text = r#"{"user_sessions":[1,2],"command_executions":[3,4,5]}"#;
        assert!(Batch::read(text, 5).is_ok());
        assert_eq!(Batch::read(text, 4).unwrap_err(), BatchError::TooMany(5));
        assert_eq!(Batch::read(text, 1).unwrap_err(), BatchError::TooMany(5));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[\[\]{}",:a-c0-9\\ ]{0,60}"#) {
            let _ = Batch::read(&text, 3);
        }
    }
}
