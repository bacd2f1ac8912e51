//! The body of a replay, read with all its faults at once.

use std::str::FromStr;

use schemas::{Fault, Faults, Timestamp, dead_letter::Position, fault::pointer};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    params::{is_client, is_code, is_topic},
    replayer::Replay,
};

/// The members' names.
pub(crate) const NAMES: [&str; 9] = [
    "dry_run", "all", "reason", "topic", "client", "from", "to", "ids", "limit",
];

const MAX_LIMIT: u64 = 10_000;
const DEFAULT_LIMIT: u64 = 1000;
const MAX_IDS: usize = 1000;

/// Reads a body.
///
/// # Errors
/// All faults together.
pub(super) fn read(body: &Map<String, Value>, organization: Uuid) -> Result<Replay, Vec<Fault>> {
    let mut faults = Faults::default();
    for name in body.keys().filter(|name| !NAMES.contains(&name.as_str())) {
        let start: String = name.chars().take(100).collect();
        faults.push(pointer("", &start), "unknown_field", "is not known here");
    }
    let mut members = Members {
        body,
        faults: &mut faults,
    };
    let all = members.flag("all", false);
    let replay = Replay {
        organization,
        reason: members.text("reason", is_code, "must be a reason's code"),
        topic: members.text("topic", is_topic, "must be a topic's name"),
        client: members.text("client", is_client, "must be a client's name"),
        from: members.parsed("from"),
        to: members.parsed("to"),
        ids: members.ids(),
        limit: members.limit(),
        dry_run: members.flag("dry_run", true),
    };
    let has_filter = replay.reason.is_some()
        || replay.topic.is_some()
        || replay.client.is_some()
        || replay.from.is_some()
        || replay.to.is_some()
        || !replay.ids.is_empty();
    if faults.is_empty() && !(replay.dry_run || all || has_filter) {
        let message = "must be true to send every open letter, or give a filter";
        faults.push("/all", "required", message);
    }
    faults.or_value(replay)
}

struct Members<'a> {
    body: &'a Map<String, Value>,
    faults: &'a mut Faults,
}

impl<'a> Members<'a> {
    /// A member; null counts as absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.body.get(name).filter(|value| !value.is_null())
    }

    fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let value = self.get(name).map_or(Some(default), Value::as_bool);
        value.unwrap_or_else(|| {
            self.faults
                .push(pointer("", name), "type", "must be true or false");
            default
        })
    }

    fn text(
        &mut self,
        name: &'static str,
        is_one: fn(&str) -> bool,
        message: &'static str,
    ) -> Option<String> {
        let text = self.get(name)?.as_str().map(str::to_owned);
        let text = text.filter(|text| is_one(text));
        if text.is_none() {
            self.faults.push(pointer("", name), "pattern", message);
        }
        text
    }

    fn parsed(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.get(name)?.as_str().unwrap_or_default();
        match Timestamp::from_str(text) {
            Ok(at) => Some(at),
            Err(error) => {
                self.faults
                    .push(pointer("", name), "format", error.to_string());
                None
            }
        }
    }

    fn limit(&mut self) -> usize {
        let value = self.get("limit");
        let limit = value.map_or(Some(DEFAULT_LIMIT), Value::as_u64);
        let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        limit.unwrap_or_else(|| {
            let message = format!("must be a whole number from 1 to {MAX_LIMIT}");
            self.faults.push("/limit", "range", message);
            1
        })
    }

    fn ids(&mut self) -> Vec<Position> {
        let Some(value) = self.get("ids") else {
            return Vec::new();
        };
        let ids = value
            .as_array()
            .filter(|ids| (1..=MAX_IDS).contains(&ids.len()));
        let Some(ids) = ids else {
            let message = format!("must be an array of 1 to {MAX_IDS} ids of letters");
            self.faults.push("/ids", "type", message);
            return Vec::new();
        };
        let mut positions = Vec::new();
        for (n, id) in ids.iter().enumerate() {
            match Position::from_str(id.as_str().unwrap_or_default()) {
                Ok(position) => positions.push(position),
                Err(error) => {
                    self.faults
                        .push(format!("/ids/{n}"), "format", error.to_string());
                }
            }
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<Replay, Vec<(String, &'static str)>> {
        let read = read(body.as_object().unwrap(), Uuid::from_u128(1));
        read.map_err(|faults| faults.into_iter().map(|f| (f.pointer, f.code)).collect())
    }

    #[test]
    fn nothing_is_sent_unless_that_is_said() {
        let replay = parse(json!({})).unwrap();
        assert!(replay.dry_run);
        assert_eq!((replay.limit, replay.ids.len()), (1000, 0));
        let faults = parse(json!({"dry_run": false})).unwrap_err();
        assert_eq!(faults, [("/all".to_owned(), "required")]);
        for filter in [
            json!({"dry_run": false, "all": true}),
            json!({"dry_run": false, "reason": "invalid"}),
            json!({"dry_run": false, "ids": ["t/0/1"]}),
        ] {
            assert!(!parse(filter).unwrap().dry_run);
        }
    }

    #[test]
    fn every_fault_is_said_at_once() {
        let faults = parse(json!({
            "dry_run": "no", "reason": 7, "topic": "a b", "client": "", "from": "soon", "to": 1,
            "ids": ["t/0/1", "t", 5], "limit": 0, "organization_id": "x", "all": null,
        }))
        .unwrap_err();
        let mut pointers: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
        pointers.sort_unstable();
        let expected = [
            "/client",
            "/dry_run",
            "/from",
            "/ids/1",
            "/ids/2",
            "/limit",
            "/organization_id",
            "/reason",
            "/to",
            "/topic",
        ];
        assert_eq!(pointers, expected);
    }
}
