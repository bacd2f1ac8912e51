//! Letters, and which of them are open: letters minus markers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use platform::kafka::dead_letters::CUT;
use platform::kafka::log_reader::LogRecord;
use schemas::dead_letter::{DeadLetter, Position, Reason, Replayed, organization_of};
use schemas::{Timestamp, client};
use uuid::Uuid;

use super::filter::{FilterArgs, State};

/// The longest message that is kept, in bytes: there may be millions.
const MESSAGE_BYTES: usize = 300;

/// What is known of a dead letter, without its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its partition in the topic of dead letters.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The topic its record was refused from.
    pub topic: Arc<str>,
    /// The partition there.
    pub source_partition: i32,
    /// The offset there.
    pub source_offset: i64,
    /// Why, as a code.
    pub reason: Arc<str>,
    /// Why, for people; cut when it is long.
    pub message: Arc<str>,
    /// Which program the record came from, if it says so.
    pub client: Option<Arc<str>>,
    /// Whose it is, if its key says so.
    pub organization: Option<Uuid>,
    /// Which event it is, if it could be read that far.
    pub event_id: Option<Uuid>,
    /// When the log took the record.
    pub recorded_at: Timestamp,
    /// Whether the letter holds all of its record: one that is very large is cut.
    pub whole: bool,
    /// When the record was sent again, if it was.
    pub replayed_at: Option<Timestamp>,
}

impl Letter {
    /// Where its record was refused.
    pub fn source(&self) -> Position {
        Position {
            topic: self.topic.to_string(),
            partition: self.source_partition,
            offset: self.source_offset,
        }
    }
}

/// What a record among the dead letters is.
pub(super) enum Entry {
    Letter(DeadLetter),
    Marker(Replayed),
}

/// Reads one; what carries no envelope is its own source, as for the sink.
pub(super) fn entry(topic: &str, record: &LogRecord) -> Entry {
    let header = |name: &str| record.header(name);
    if let Some(Ok(marker)) = Replayed::from_headers(header) {
        return Entry::Marker(marker);
    }
    let envelope = DeadLetter::from_headers(header);
    Entry::Letter(envelope.unwrap_or_else(|error| DeadLetter {
        source_topic: topic.to_owned(),
        source_partition: record.partition,
        source_offset: record.offset,
        reason: Reason::MalformedEnvelope.as_str().to_owned(),
        message: error.to_string(),
        stage: String::new(),
        recorded_at: record.log_time,
        event_id: None,
    }))
}

/// Which program a record came from.
pub(super) fn client_of(record: &LogRecord) -> Option<&str> {
    client::name(record.header(client::HEADER)?)
}

/// The letters that a filter lets pass, in the order of their partitions.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    filter: FilterArgs,
    letters: BTreeMap<i32, Vec<Letter>>,
    /// Few different texts, in many letters.
    texts: HashSet<Arc<str>>,
    /// Whose open letter is the sink's.
    of_sink: HashSet<Position>,
}

impl Ledger {
    pub(super) fn new(filter: FilterArgs) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// Takes the next record of a partition.
    pub(super) fn read(&mut self, topic: &str, record: &LogRecord) {
        match entry(topic, record) {
            Entry::Letter(envelope) => {
                // A sink that ended before it could commit writes the same letter once more.
                if envelope.was_admitted() && !self.of_sink.insert(envelope.source()) {
                    return;
                }
                let letter = self.letter(&envelope, record);
                self.add(letter);
            }
            Entry::Marker(marker) => {
                self.of_sink.remove(&marker.source);
                self.mark(record.partition, &marker, record.log_time);
            }
        }
    }

    fn add(&mut self, letter: Letter) {
        if self.filter.matches(&letter) {
            self.letters
                .entry(letter.partition)
                .or_default()
                .push(letter);
        }
    }

    /// A marker stands behind its letter, so the letter is here, or filtered out.
    fn mark(&mut self, partition: i32, marker: &Replayed, at: Timestamp) {
        let Some(letters) = self.letters.get_mut(&partition) else {
            return;
        };
        let found = letters.binary_search_by_key(&marker.letter_offset, |letter| letter.offset);
        if let Some(letter) = found.ok().and_then(|index| letters.get_mut(index)) {
            letter.replayed_at.get_or_insert(at);
        }
    }

    /// The letters in a state, the oldest record first, and `limit` at most.
    pub(super) fn into_letters(self, state: State, limit: Option<usize>) -> Vec<Letter> {
        let letters = self.letters.into_values().flatten();
        let mut letters: Vec<_> = letters.filter(|letter| state.matches(letter)).collect();
        letters.sort_by_key(|letter| (letter.recorded_at, letter.partition, letter.offset));
        letters.truncate(limit.unwrap_or(usize::MAX));
        letters
    }

    fn letter(&mut self, envelope: &DeadLetter, record: &LogRecord) -> Letter {
        let message = &envelope.message;
        let end = message.floor_char_boundary(MESSAGE_BYTES);
        Letter {
            partition: record.partition,
            offset: record.offset,
            topic: self.text(&envelope.source_topic),
            source_partition: envelope.source_partition,
            source_offset: envelope.source_offset,
            reason: self.text(&envelope.reason),
            message: self.text(&message[..end]),
            client: client_of(record).map(|client| self.text(client)),
            organization: record.key.as_deref().and_then(organization_of),
            event_id: envelope.event_id,
            recorded_at: envelope.recorded_at,
            whole: record.header(CUT).is_none(),
            replayed_at: None,
        }
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A letter of the topic `t`.
    pub(crate) fn letter(partition: i32, offset: i64, reason: &str, millis: i64) -> Letter {
        Letter {
            partition,
            offset,
            topic: "t".into(),
            source_partition: partition,
            source_offset: offset + 100,
            reason: reason.into(),
            message: "no".into(),
            client: None,
            organization: None,
            event_id: None,
            recorded_at: Timestamp::from_millis(millis).unwrap(),
            whole: true,
            replayed_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::letter;
    use super::*;

    fn marker(letter: &Letter) -> Replayed {
        Replayed {
            source: letter.source(),
            letter_offset: letter.offset,
        }
    }

    proptest! {
        /// Letters are replayed in any rounds, each round those that are open: every letter
        /// once, whatever was read in between.
        #[test]
        fn letters_minus_markers_are_open(
            partitions in prop::collection::vec(0..3_i32, 0..40),
            rounds in prop::collection::vec(0..10_usize, 0..8),
        ) {
            // A log: letters, then rounds of markers behind them.
            let mut next = [0_i64; 3];
            let mut log: Vec<Result<Letter, (i32, Replayed)>> = Vec::new();
            for (n, partition) in partitions.iter().enumerate() {
                let offset = &mut next[usize::try_from(*partition).unwrap()];
                let millis = i64::try_from(n).unwrap();
                log.push(Ok(letter(*partition, *offset, "invalid", millis)));
                *offset += 2;
            }
            let open = |log: &[Result<Letter, (i32, Replayed)>], state, limit| {
                let mut ledger = Ledger::default();
                let at = Timestamp::from_millis(9).unwrap();
                for entry in log {
                    match entry {
                        Ok(letter) => ledger.add(letter.clone()),
                        Err((partition, marker)) => ledger.mark(*partition, marker, at),
                    }
                }
                ledger.into_letters(state, limit)
            };
            let mut left = partitions.len();
            for limit in rounds {
                let replayed = open(&log, State::Open, Some(limit));
                prop_assert_eq!(replayed.len(), limit.min(left));
                left -= replayed.len();
                log.extend(replayed.iter().map(|l| Err((l.partition, marker(l)))));
                prop_assert_eq!(open(&log, State::Open, None).len(), left);
                prop_assert_eq!(open(&log, State::Replayed, None).len(), partitions.len() - left);
                prop_assert_eq!(open(&log, State::All, None).len(), partitions.len());
            }
        }
    }

    #[test]
    fn an_older_log_of_the_same_positions_does_not_close_a_letter() {
        let mut ledger = Ledger::default();
        let again = letter(0, 7, "invalid", 1);
        ledger.add(again.clone());
        let at = Timestamp::from_millis(9).unwrap();
        let of_another = Replayed {
            source: again.source(),
            letter_offset: 3,
        };
        ledger.mark(0, &of_another, at);
        assert_eq!(ledger.into_letters(State::Open, None), [again]);
    }

    #[test]
    fn a_letter_of_the_sink_that_comes_twice_is_one_until_it_is_replayed() {
        let envelope = DeadLetter {
            source_topic: "t".into(),
            source_partition: 0,
            source_offset: 5,
            reason: Reason::RefusedByDatabase.as_str().into(),
            message: "no".into(),
            stage: "sink".into(),
            recorded_at: Timestamp::from_millis(1).unwrap(),
            event_id: None,
        };
        let marker = Replayed {
            source: envelope.source(),
            letter_offset: 0,
        };
        let other = DeadLetter {
            reason: Reason::Invalid.as_str().into(),
            ..envelope.clone()
        };
        let [sinks, others] = [envelope.headers(), other.headers()];
        let marker = marker.headers().to_vec();
        let mut ledger = Ledger::default();
        let log = [&sinks, &sinks, &others, &others, &marker, &sinks, &sinks];
        for (offset, headers) in (0..).zip(log) {
            let headers = headers.iter().map(|(name, value)| {
                let value = Some(value.clone().into_bytes());
                ((*name).to_owned(), value)
            });
            let record = LogRecord {
                partition: 0,
                offset,
                log_time: Timestamp::from_millis(offset).unwrap(),
                key: None,
                value: None,
                headers: headers.collect(),
            };
            ledger.read("letters", &record);
        }
        let letters = ledger.into_letters(State::Open, None);
        let offsets: Vec<i64> = letters.iter().map(|letter| letter.offset).collect();
        assert_eq!(offsets, [2, 3, 5]);
    }
}
