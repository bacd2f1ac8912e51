//! What an event says, apart from its id and its time.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{
    AgentInteraction, CommandExecution, Event, ProductivityMetric, SessionKind, UserSession,
};

impl Event {
    /// A hash of what the event says: everything but its id and its time, since a request
    /// without times that is sent again gets new ones. Two events of one id and one content
    /// are the same event sent twice.
    ///
    /// Equal within one build of this program, and not meant to be stored.
    pub fn content_hash(&self) -> u32 {
        // Every field is named, so that a new one cannot be forgotten.
        let mut hasher = DefaultHasher::new();
        self.kind().hash(&mut hasher);
        match self {
            Self::CommandExecution(e) => e.hash_content(&mut hasher),
            Self::AgentInteraction(e) => e.hash_content(&mut hasher),
            Self::ProductivityMetric(e) => e.hash_content(&mut hasher),
            Self::UserSession(e) => e.hash_content(&mut hasher),
        }
        let hash = hasher.finish();
        #[allow(clippy::cast_possible_truncation, reason = "half of the bits")]
        let half = (hash ^ (hash >> 32)) as u32;
        half
    }
}

impl CommandExecution {
    fn hash_content(&self, hasher: &mut impl Hasher) {
        let Self {
            event_id: _,
            timestamp: _,
            organization_id,
            user_id,
            team_id,
            project_id,
            command_name,
            execution_time_ms,
            status,
            command_args,
            error_message,
            context,
        } = self;
        (organization_id, user_id, team_id, project_id).hash(hasher);
        (command_name, execution_time_ms, status).hash(hasher);
        (command_args, error_message, context).hash(hasher);
    }
}

impl AgentInteraction {
    fn hash_content(&self, hasher: &mut impl Hasher) {
        let Self {
            event_id: _,
            timestamp: _,
            organization_id,
            user_id,
            team_id,
            project_id,
            agent_name,
            interaction_type,
            execution_time_ms,
            status,
            input_tokens,
            output_tokens,
            cost_usd,
            model,
            command_execution_id,
            error_message,
            metadata,
        } = self;
        (organization_id, user_id, team_id, project_id).hash(hasher);
        (agent_name, interaction_type, execution_time_ms, status).hash(hasher);
        (input_tokens, output_tokens, cost_usd, model).hash(hasher);
        (command_execution_id, error_message, metadata).hash(hasher);
    }
}

impl ProductivityMetric {
    fn hash_content(&self, hasher: &mut impl Hasher) {
        let Self {
            event_id: _,
            timestamp: _,
            organization_id,
            user_id,
            team_id,
            project_id,
            metric_type,
            metric_value,
            metric_unit,
            dimensions,
        } = self;
        (organization_id, user_id, team_id, project_id).hash(hasher);
        (metric_type, metric_value.to_bits(), metric_unit, dimensions).hash(hasher);
    }
}

impl UserSession {
    fn hash_content(&self, hasher: &mut impl Hasher) {
        let Self {
            event_id: _,
            timestamp,
            organization_id,
            user_id,
            team_id,
            project_id,
            session_id,
            kind,
            session_start,
            session_end,
            duration_minutes,
            commands_executed,
            agents_used,
            productivity_score,
            context,
        } = self;
        (organization_id, user_id, team_id, project_id).hash(hasher);
        (session_id, kind).hash(hasher);
        // The start of a session that starts is the event's time, whether it was told as that
        // or not. An end that is the event's time was not chosen by the client.
        let start = session_start.filter(|_| *kind != SessionKind::Started);
        let end = session_end.filter(|at| at != timestamp);
        (start, end).hash(hasher);
        let bits = |number: &Option<f64>| number.map(f64::to_bits);
        (bits(duration_minutes), bits(productivity_score)).hash(hasher);
        (commands_executed, agents_used, context).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::RawValue};
    use uuid::Uuid;

    use super::*;
    use crate::Timestamp;
    use crate::{
        EventKind,
        event::{JsonDefaults, ValidationContext},
    };

    fn hash(kind: EventKind, body: &Value, id: u128, at: Timestamp) -> u32 {
        let text = body.to_string();
        let raw: &RawValue = serde_json::from_str(&text).unwrap();
        let defaults = JsonDefaults {
            organization_id: Uuid::from_u128(9),
            event_id: Uuid::from_u128(id),
            timestamp: at,
        };
        let context = ValidationContext {
            record_time: at,
            retention_seconds: 86_400,
        };
        let event = Event::from_json(kind, raw, &defaults, &context).unwrap();
        event.content_hash()
    }

    #[test]
    fn an_event_sent_again_says_the_same_and_any_other_field_is_heard() {
        let now = Timestamp::from_millis(1_800_000_000_000).unwrap();
        let later = now.saturating_add_seconds(7);
        let id = Uuid::from_u128(1);
        let execution = json!({"user_id": id, "execution_time_ms": 1, "status": "success",
            "team_id": id, "project_id": id, "error_message": "no"});
        let with = |more: Value| {
            let mut all = execution.clone();
            let more = more.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(more);
            all
        };
        let bodies = [
            (
                EventKind::CommandExecution,
                with(json!({"command_name": "a", "command_args": {"a": 1}, "context": {"a": 1}})),
            ),
            (
                EventKind::AgentInteraction,
                with(
                    json!({"agent_name": "a", "interaction_type": "a", "input_tokens": 1,
                    "output_tokens": 1, "cost_usd": 1, "model": "a", "command_execution_id": id, "metadata": {"a": 1}}),
                ),
            ),
            (
                EventKind::ProductivityMetric,
                json!({"user_id": id, "team_id": id,
                "project_id": id, "metric_type": "a", "metric_value": 1, "metric_unit": "a", "dimensions": {"a": 1}}),
            ),
            (
                EventKind::UserSession,
                json!({"user_id": id, "team_id": id, "project_id": id, "session_id": "a",
                "kind": "ended", "session_start": "2027-01-15T00:00:00Z", "session_end": "2027-01-15T01:00:00Z",
                "duration_minutes": 1, "commands_executed": 1, "agents_used": ["a"], "productivity_score": 1, "context": {"a": 1}}),
            ),
        ];
        for (kind, body) in bodies {
            let one = hash(kind, &body, 1, now);
            assert_eq!(one, hash(kind, &body, 2, later), "{kind}");
            for (name, value) in body.as_object().unwrap() {
                let other = match (name.as_str(), value) {
                    ("status", _) => json!("error"),
                    ("kind", _) => json!("updated"),
                    ("session_start", _) => json!("2027-01-15T00:30:00Z"),
                    ("session_end", _) => json!("2027-01-15T01:30:00Z"),
                    (_, Value::Number(_)) => json!(2),
                    (_, Value::Object(_)) => json!({"a": 2}),
                    (_, Value::Array(_)) => json!(["b"]),
                    (_, Value::String(text)) if text.len() == 36 => json!(Uuid::from_u128(2)),
                    _ => json!("b"),
                };
                let mut changed = body.clone();
                changed[name] = other;
                assert_ne!(one, hash(kind, &changed, 1, now), "{kind} {name}");
            }
        }
    }

    #[test]
    fn a_session_that_began_when_it_was_told_may_be_told_again() {
        let at = |seconds| {
            Timestamp::from_millis(1_800_000_000_000)
                .unwrap()
                .saturating_add_seconds(seconds)
        };
        let started = |at: Timestamp| {
            let body = json!({"user_id": Uuid::nil(), "session_id": "s", "kind": "started",
                "session_start": at.to_string()});
            hash(EventKind::UserSession, &body, 1, at)
        };
        assert_eq!(started(at(0)), started(at(9)));
    }
}
