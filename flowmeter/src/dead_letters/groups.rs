//! Letters added up.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::ValueEnum;
use schemas::Timestamp;
use schemas::dead_letter::Position;
use serde_json::{Map, Value, json};

use super::{Letter, UNKNOWN};

/// What letters of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dimension {
    /// The reason's code
    Reason,
    /// The program the record came from
    Client,
    /// The topic the record was refused from
    Topic,
    /// Whose the record is
    Organization,
    /// No groups: letters one by one
    None,
}

impl Dimension {
    /// Its name in tables and JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Client => "client",
            Self::Topic => "topic",
            Self::Organization => "organization",
            Self::None => "none",
        }
    }

    fn of(self, letter: &Letter) -> Arc<str> {
        match self {
            Self::Reason => letter.reason.clone(),
            Self::Client => letter.client.clone().unwrap_or_else(|| UNKNOWN.into()),
            Self::Topic => letter.topic.clone(),
            Self::Organization => letter
                .organization
                .map_or_else(|| UNKNOWN.into(), |id| id.to_string().into()),
            Self::None => "".into(),
        }
    }
}

/// Letters that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common, in the order of the dimensions asked for.
    pub key: Vec<Arc<str>>,
    /// How many they are.
    pub count: usize,
    /// When the log took the first of their records.
    pub first: Timestamp,
    /// When it took the last.
    pub last: Timestamp,
    /// Where the last was refused.
    pub example: Position,
    /// Why that one was.
    pub message: Arc<str>,
}

impl Group {
    /// As one object.
    pub(super) fn json(&self, dimensions: &[Dimension]) -> Value {
        let key = dimensions.iter().map(|d| d.name()).zip(&self.key);
        let mut object: Map<_, _> = key
            .map(|(name, value)| (name.to_owned(), Value::from(&**value)))
            .collect();
        let more = json!({
            "count": self.count,
            "first": self.first.to_string(),
            "last": self.last.to_string(),
            "example": self.example.to_string(),
            "message": &*self.message,
        });
        object.extend(more.as_object().cloned().unwrap_or_default());
        object.into()
    }
}

/// Groups letters, which come with the oldest first; the largest group is first.
pub(super) fn group(letters: &[Letter], dimensions: &[Dimension]) -> Vec<Group> {
    let mut groups: BTreeMap<Vec<Arc<str>>, (usize, &Letter, &Letter)> = BTreeMap::new();
    for letter in letters {
        let key = dimensions.iter().map(|d| d.of(letter)).collect();
        let group = groups.entry(key).or_insert((0, letter, letter));
        group.0 += 1;
        group.2 = letter;
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|(key, (count, first, last))| Group {
            key,
            count,
            first: first.recorded_at,
            last: last.recorded_at,
            example: last.source(),
            message: last.message.clone(),
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ledger::testing::letter;
    use super::*;

    #[test]
    fn groups_say_how_many_since_when_and_give_the_newest_as_an_example() {
        let with = |client: &str, letter: Letter| Letter {
            client: Some(client.into()),
            ..letter
        };
        let letters = [
            letter(0, 1, "invalid", 1),
            with("a/1", letter(0, 2, "invalid", 2)),
            with("a/1", letter(1, 1, "invalid", 3)),
            with("a/1", letter(1, 2, "wrong_key", 4)),
        ];
        let dimensions = [Dimension::Reason, Dimension::Client];
        let groups = group(&letters, &dimensions);
        let lines: Vec<_> = groups
            .iter()
            .map(|g| (g.key.join(" "), g.count, g.first.micros(), g.last.micros()))
            .collect();
        assert_eq!(
            lines,
            [
                ("invalid a/1".to_owned(), 2, 2000, 3000),
                ("invalid unknown".to_owned(), 1, 1000, 1000),
                ("wrong_key a/1".to_owned(), 1, 4000, 4000),
            ]
        );
        assert_eq!(groups[0].example.to_string(), "t/1/101");
        assert_eq!(
            groups[0].json(&dimensions),
            json!({
                "reason": "invalid", "client": "a/1", "count": 2, "message": "no",
                "first": "1970-01-01T00:00:00.002Z", "last": "1970-01-01T00:00:00.003Z",
                "example": "t/1/101",
            })
        );
    }

    proptest! {
        #[test]
        fn every_letter_is_in_one_group(
            reasons in prop::collection::vec("[ab]{1,2}", 0..30)
        ) {
            let times = 0_i64..;
            let letters: Vec<_> = reasons.iter().zip(times)
                .map(|(reason, n)| letter(0, n, reason, n)).collect();
            let groups = group(&letters, &[Dimension::Reason]);
            prop_assert_eq!(groups.iter().map(|g| g.count).sum::<usize>(), letters.len());
            prop_assert!(groups.is_sorted_by(|a, b| a.count >= b.count && a.key != b.key));
            prop_assert!(groups.iter().all(|g| g.first <= g.last));
        }
    }
}
