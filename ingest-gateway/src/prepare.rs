//! From posted JSON to records for Kafka: judged, permitted, encoded. No I/O.

use std::collections::HashSet;

use platform::{
    auth::{Identity, may_post_for},
    kafka::registry::frame,
};
use schemas::{
    Event, EventKind, Timestamp, codec,
    event::{Common, JsonDefaults, ValidationContext},
};
use uuid::Uuid;

use crate::{
    posted::{Form, Posted},
    refusal::{MAX_EVENT_BYTES, Refusal},
};

/// What a request's events are judged by.
pub(crate) struct Judge<'a> {
    /// Who posts them.
    pub(crate) identity: &'a Identity,
    /// The ids of the schemas, in the order of [`EventKind::ALL`].
    pub(crate) schema_ids: &'a [i32; 4],
    /// Now, and how long events are kept.
    pub(crate) context: ValidationContext,
    /// The time of events that name none.
    pub(crate) timestamp: Timestamp,
}

/// A record to be published.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) kind: EventKind,
    pub(crate) event_id: Uuid,
    pub(crate) common: Common,
    pub(crate) key: String,
    /// In the Confluent wire format.
    pub(crate) payload: Vec<u8>,
}

/// One of many events of a request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) form: Form,
    /// `None` if it is not said.
    pub(crate) kind: Option<EventKind>,
    /// Its place in its list.
    pub(crate) index: usize,
    /// Of a refused event its own, if it has a readable one.
    pub(crate) event_id: Option<Uuid>,
    pub(crate) outcome: Result<Record, Refusal>,
}

impl Judge<'_> {
    /// The record of an event, or all that is wrong with it.
    pub(crate) fn record(&self, posted: &Posted<'_>) -> Result<Record, Refusal> {
        let (Some(kind), Some(fields)) = (posted.kind, &posted.fields) else {
            return Err(Refusal::Invalid(posted.faults.clone()));
        };
        if fields.get().len() > MAX_EVENT_BYTES {
            return Err(Refusal::TooLarge);
        }
        let defaults = JsonDefaults {
            organization_id: self.identity.organization_id,
            // Without one there is a fault, and no record.
            event_id: posted.event_id.unwrap_or_default(),
            timestamp: posted.timestamp.unwrap_or(self.timestamp),
        };
        let event = match Event::from_json(kind, fields, &defaults, &self.context) {
            Ok(event) if posted.faults.is_empty() => event,
            read => return Err(posted.refused(read.err().unwrap_or_default())),
        };
        let common = event.common();
        may_post_for(self.identity, common.user_id, common.team_id).map_err(Refusal::Denied)?;
        let avro = codec::encode_event(&event).map_err(|error| {
            tracing::error!(%kind, error, "a valid event does not fit its schema");
            Refusal::Internal
        })?;
        Ok(Record {
            kind,
            event_id: common.event_id,
            common,
            key: event.key(),
            payload: frame(self.schema_ids[kind as usize], &avro),
        })
    }

    /// The records of many events, each judged alone. Of two events of a kind with one id
    /// the later is refused: consumers would silently drop it.
    pub(crate) fn entries<'e>(
        &self,
        events: impl Iterator<Item = (usize, Posted<'e>)>,
    ) -> Vec<Entry> {
        let mut seen = HashSet::new();
        events
            .map(|(index, posted)| {
                let outcome = self.record(&posted);
                let event_id = match &outcome {
                    Ok(record) => Some(record.event_id),
                    Err(_) => posted.own_id(),
                };
                let outcome = outcome.and_then(|record| {
                    if seen.insert((record.kind, record.event_id)) {
                        Ok(record)
                    } else {
                        Err(Refusal::Duplicate)
                    }
                });
                Entry {
                    form: posted.form,
                    kind: posted.kind,
                    index,
                    event_id,
                    outcome,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use platform::auth::{Denied, Role};
    use serde_json::json;

    use super::*;
    use crate::{batch::Batch, ids::EventIds};

    const ME: Uuid = Uuid::from_u128(1);

    fn entries(batch: &serde_json::Value) -> Vec<Entry> {
        let identity = Identity {
            user_id: ME,
            organization_id: Uuid::from_u128(2),
            role: Role::Developer,
            team_ids: None,
        };
        let now = Timestamp::from_millis(1_800_000_000_000).unwrap();
        let judge = Judge {
            identity: &identity,
            schema_ids: &[1, 2, 3, 4],
            context: ValidationContext {
                record_time: now,
                retention_seconds: 86_400,
            },
            timestamp: now,
        };
        let text = batch.to_string();
        let ids = EventIds::new(&identity, Some("k".to_owned()));
        judge.entries(Batch::read(&text, 1000).unwrap().events(&ids))
    }

    fn metric(more: serde_json::Value) -> serde_json::Value {
        let mut event = json!({"user_id": ME, "metric_type": "error_rate", "metric_value": 0.5});
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    }

    #[test]
    fn each_event_is_judged_alone() {
        let id = Uuid::from_u128(77);
        let padding = " ".repeat(MAX_EVENT_BYTES);
        let found = entries(&json!({"productivity_metrics": [
            metric(json!({})),
            metric(json!({"event_id": id, "metric_value": "x"})),
            metric(json!({"event_id": id})),
            metric(json!({"event_id": id})),
            metric(json!({"user_id": Uuid::from_u128(9)})),
            metric(json!({"metric_unit": padding})),
            17,
        ]}));
        let codes: Vec<_> = found
            .iter()
            .map(|e| e.outcome.as_ref().map_err(Refusal::code).map(|_| "ok"))
            .collect();
        assert_eq!(
            codes,
            [
                Ok("ok"),
                Err("invalid_event"),
                // An event that is refused does not take its id with it.
                Ok("ok"),
                Err("duplicate_event_id"),
                Err(Denied::NotAsItself.code()),
                Err("event_too_large"),
                Err("invalid_event"),
            ]
        );
        assert_eq!(found[1].event_id, Some(id));
        assert_eq!(found[4].event_id, None);
        assert!(found.iter().enumerate().all(|(i, e)| e.index == i));
    }

    #[test]
    fn the_same_id_may_stand_in_two_lists() {
        let id = Uuid::from_u128(77);
        let session = json!({"event_id": id, "user_id": ME, "session_id": "s", "kind": "started"});
        let found = entries(&json!({
            "productivity_metrics": [metric(json!({"event_id": id}))],
            "user_sessions": [session],
        }));
        assert!(found.iter().all(|e| e.outcome.is_ok()));
        let record = found[1].outcome.as_ref().unwrap();
        assert_eq!(record.payload[..5], [0, 0, 0, 0, 4]);
        assert_eq!(record.key, format!("{}:{ME}", Uuid::from_u128(2)));
    }
}
