//! The events of the session calls: a body's fields, and what the call itself says.

use std::borrow::Cow;

use schemas::{EventKind, Fault, Timestamp, json::Members};
use serde::de::DeserializeOwned;
use serde_json::{json, value::RawValue};
use uuid::Uuid;

use crate::posted::{Posted, own_id};

/// Which call it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SessionCall<'a> {
    /// A session starts; now is the time of an event that names none.
    Start {
        /// The time of receipt.
        now: Timestamp,
    },
    /// The session of this id goes on, or ends.
    Update {
        /// As the call's address says.
        session_id: &'a str,
    },
}

impl SessionCall<'_> {
    /// What tells the call from others of the same body.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Start { .. } => "sessions/start".into(),
            // No id begins with what follows a call's name.
            Self::Update { session_id } => format!("sessions/{session_id}/").into(),
        }
    }
}

/// The event of a session call, and the session's id. `event_id` is the event's if it names
/// none.
///
/// A session that starts without an id gets the id of the event that starts it: whatever
/// makes a retry the same event makes it the same session.
pub(crate) fn session_event<'a>(
    call: SessionCall<'_>,
    body: &'a RawValue,
    event_id: Uuid,
) -> (Posted<'a>, String) {
    let event_id = own_id(body).unwrap_or(event_id);
    let mut posted = Posted::plain(EventKind::UserSession, body, event_id);
    let members = serde_json::from_str(body.get()).ok();
    let Some(Members(members)) = members.filter(|_| body.get().starts_with('{')) else {
        // Judging says what is wrong with it.
        return (posted, String::new());
    };
    let mut fields = Fields(
        members
            .into_iter()
            .map(|(name, raw)| (name.into_owned(), Cow::Borrowed(raw.get())))
            .collect(),
    );
    let session_id = match call {
        SessionCall::Start { now } => fields.start(event_id, now, &mut posted.faults),
        SessionCall::Update { session_id } => {
            fields.update(session_id, &mut posted.faults);
            session_id.to_owned()
        }
    };
    posted.fields = Some(Cow::Owned(fields.into_object()));
    (posted, session_id)
}

/// Members of an object: what is `null` counts as absent.
struct Fields<'a>(Vec<(String, Cow<'a, str>)>);

impl Fields<'_> {
    fn start(&mut self, event_id: Uuid, now: Timestamp, faults: &mut Vec<Fault>) -> String {
        if self.remove("kind") {
            let why = "is not a field of this call: it starts a session";
            faults.push(fault("/kind", "unknown_field", why));
        }
        self.default("kind", "started");
        self.default("session_id", &event_id.to_string());
        let timestamp = self.read::<String>("timestamp");
        let timestamp = timestamp.filter(|text| text.parse::<Timestamp>().is_ok());
        let begin = timestamp.unwrap_or_else(|| now.to_string());
        self.default("session_start", &begin);
        self.read("session_id").unwrap_or_default()
    }

    fn update(&mut self, session_id: &str, faults: &mut Vec<Fault>) {
        let ends = self.given("session_end");
        self.default("kind", if ends { "ended" } else { "updated" });
        if self.read::<String>("kind").as_deref() == Some("started") {
            let why = "must be updated or ended; a session is started by a call of its own";
            faults.push(fault("/kind", "choice", why));
        }
        let own = self.read::<String>("session_id");
        if own.is_some_and(|own| own != session_id) {
            let why = "is not the session of the address";
            faults.push(fault("/session_id", "session_id_mismatch", why));
        }
        self.default("session_id", session_id);
    }

    fn given(&self, name: &str) -> bool {
        self.0.iter().any(|(n, raw)| n == name && raw != "null")
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let (_, raw) = self.0.iter().find(|(n, _)| n == name)?;
        serde_json::from_str(raw).ok()
    }

    fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(n, _)| n != name);
        self.0.len() < before
    }

    /// A field given twice stays so, for judging to refuse.
    fn default(&mut self, name: &str, text: &str) {
        if self.given(name) {
            return;
        }
        self.remove(name);
        let value = json!(text).to_string();
        self.0.push((name.to_owned(), value.into()));
    }

    fn into_object(self) -> Box<RawValue> {
        let members: Vec<_> = self
            .0
            .iter()
            .map(|(name, raw)| format!("{}:{raw}", json!(name)))
            .collect();
        let object = format!("{{{}}}", members.join(","));
        RawValue::from_string(object).expect("JSON in JSON is JSON")
    }
}

fn fault(pointer: &str, code: &'static str, message: &'static str) -> Fault {
    Fault {
        pointer: pointer.to_owned(),
        code,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const NOW: &str = "2026-01-31T12:00:00Z";
    const GIVEN: Uuid = Uuid::from_u128(7);

    fn call(call: SessionCall<'_>, body: &str) -> (Value, String, Vec<(String, &'static str)>) {
        let raw: &RawValue = serde_json::from_str(body).unwrap();
        let (posted, id) = session_event(call, raw, GIVEN);
        let faults = posted.faults.into_iter().map(|f| (f.pointer, f.code));
        let fields = serde_json::from_str(posted.fields.unwrap().get()).unwrap();
        (fields, id, faults.collect())
    }

    fn start(body: &str) -> (Value, String, Vec<(String, &'static str)>) {
        let now = NOW.parse().unwrap();
        call(SessionCall::Start { now }, body)
    }

    #[test]
    fn a_start_gives_what_the_body_leaves_out() {
        let (fields, id, faults) = start(r#"{"session_id":null,"a":1.10}"#);
        let expected = json!({
            "a": 1.10, "kind": "started", "session_id": GIVEN, "session_start": NOW,
        });
        assert_eq!((fields, id.as_str()), (expected, &*GIVEN.to_string()));
        assert!(faults.is_empty());

        let at = "2026-01-30T08:00:00+01:00";
        let (fields, id, _) = start(&format!(r#"{{"session_id":"s","timestamp":"{at}"}}"#));
        assert_eq!((&fields["session_start"], id.as_str()), (&json!(at), "s"));
        let (fields, ..) = start(r#"{"session_start":"then","timestamp":"noon"}"#);
        assert_eq!(fields["session_start"], "then");
    }

    #[test]
    fn a_start_sent_again_with_its_event_id_starts_the_same_session() {
        let (fields, id, _) = start(&format!(r#"{{"event_id":"{}"}}"#, Uuid::from_u128(8)));
        assert_eq!(id, Uuid::from_u128(8).to_string());
        assert_eq!(fields["session_id"], id);
    }

    #[test]
    fn the_kind_follows_from_the_call() {
        let (fields, _, faults) = start(r#"{"kind":"started"}"#);
        assert_eq!(faults, [("/kind".to_owned(), "unknown_field")]);
        assert_eq!(fields["kind"], "started");
        let update = |body: &str| call(SessionCall::Update { session_id: "s" }, body);
        for (body, kind) in [
            ("{}", "updated"),
            (r#"{"session_end":null,"kind":null}"#, "updated"),
            (r#"{"session_end":"2026-01-31T12:00:00Z"}"#, "ended"),
            (r#"{"kind":"ended"}"#, "ended"),
            (r#"{"kind":"updated","session_id":"s"}"#, "updated"),
        ] {
            let (fields, id, faults) = update(body);
            assert_eq!((&fields["kind"], id.as_str()), (&json!(kind), "s"));
            assert_eq!(fields["session_id"], "s");
            assert!(faults.is_empty(), "{body}");
        }
        let (_, _, faults) = update(r#"{"kind":"\u0073tarted","session_id":"t"}"#);
        let expected = [("/kind", "choice"), ("/session_id", "session_id_mismatch")];
        assert_eq!(faults, expected.map(|(at, code)| (at.to_owned(), code)));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(
            body in r#"\{("(kind|session_id|session_end|event_id|\\u00e9)":("a"|null|1|"started"|\{\}),?){0,4}\}|\[\]|[0-9]|"a""#,
            id in ".{0,5}",
        ) {
            if let Ok(raw) = serde_json::from_str::<&RawValue>(&body) {
                session_event(SessionCall::Update { session_id: &id }, raw, GIVEN);
                let now = NOW.parse().unwrap();
                session_event(SessionCall::Start { now }, raw, GIVEN);
            }
        }
    }
}
