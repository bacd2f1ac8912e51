//! A seeded stream of events: sound ones of every age, and some that will be refused.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use flowmeter::load::generator::{Generator, Shape};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::EventKind;
use serde_json::{Value, json, to_value};
use uuid::{Builder, Uuid};

use super::ledger::EventKey;

/// How late events come, and how many of a hundred.
const LATENESS: [(TimeDelta, u32); 5] = [
    (TimeDelta::seconds(-200), 5),
    (TimeDelta::zero(), 80),
    (TimeDelta::hours(1), 5),
    (TimeDelta::days(1), 5),
    (TimeDelta::days(30), 5),
];

/// An event as it is posted.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) organization: Uuid,
    pub(crate) kind: EventKind,
    pub(crate) id: Uuid,
    pub(crate) body: Value,
    /// Whether it breaks a rule.
    pub(crate) sound: bool,
}

impl Event {
    pub(crate) fn key(&self) -> EventKey {
        (self.organization, self.id)
    }

    /// The same, sent again with another time.
    pub(crate) fn at_another_time(&self, random: &mut StdRng) -> Self {
        let mut again = self.clone();
        // A session that starts or ends with its event has no other time than that: see
        // `a_session_that_starts_with_its_event_is_the_same_at_another_time`.
        let own = |name: &str| self.body[name] == self.body["timestamp"];
        if !own("session_start") && !own("session_end") {
            let earlier = TimeDelta::milliseconds(random.random_range(1..600_000));
            again.body["timestamp"] = json!(text(Utc::now() - earlier));
        }
        again
    }

    /// Something else under the same id.
    pub(crate) fn contradicted(&self) -> Self {
        let mut other = self.clone();
        other.body["project_id"] = json!(Uuid::from_u128(0xBAD));
        other
    }
}

/// The stream of one sender.
pub(crate) struct Stream {
    pub(crate) random: StdRng,
    organizations: Vec<Uuid>,
    generators: Vec<Generator>,
}

impl Stream {
    /// Equal seeds give equal streams, but for times.
    pub(crate) fn new(seed: u64, organizations: &[Uuid]) -> Self {
        let shape = |lateness: TimeDelta| Shape {
            seed,
            users: 8,
            teams: 3,
            until: Utc::now() - lateness,
            span: Duration::from_secs(120),
        };
        Self {
            random: StdRng::seed_from_u64(seed),
            organizations: organizations.to_vec(),
            generators: LATENESS
                .map(|(late, _)| Generator::new(&shape(late)))
                .into(),
        }
    }

    pub(crate) fn id(&mut self) -> Uuid {
        Builder::from_random_bytes(self.random.random()).into_uuid()
    }

    /// Up to `most` events of one organization.
    pub(crate) fn batch(&mut self, most: u64) -> Vec<Event> {
        let organization =
            self.organizations[self.random.random_range(0..self.organizations.len())];
        let count = self.random.random_range(1..=most);
        (0..count).map(|_| self.event(organization)).collect()
    }

    pub(crate) fn event(&mut self, organization: Uuid) -> Event {
        let mut dice = self.random.random_range(0..100);
        let lateness = LATENESS.iter().position(|(_, share)| {
            let hit = dice < *share;
            dice = dice.saturating_sub(*share);
            hit
        });
        let batch = self.generators[lateness.expect("shares are a hundred")].batch(1);
        let lists = to_value(batch).expect("a batch is JSON");
        let (kind, mut body) = EventKind::ALL
            .into_iter()
            .find_map(|kind| Some((kind, lists[kind.plural()].get(0)?.clone())))
            .expect("a batch of one holds one");
        let id = self.id();
        body["event_id"] = json!(id);
        let sound = !self.random.random_bool(0.01);
        if !sound {
            self.spoil(&mut body);
        }
        Event {
            organization,
            kind,
            id,
            body,
            sound,
        }
    }

    /// Makes it break a rule.
    fn spoil(&mut self, body: &mut Value) {
        match self.random.random_range(0..4) {
            0 => body["timestamp"] = json!(text(Utc::now() + TimeDelta::hours(1))),
            1 => body["timestamp"] = json!(text(Utc::now() - TimeDelta::days(400))),
            2 => body["user_id"] = json!("somebody"),
            _ => body["no_such_field"] = json!(1),
        }
    }
}

fn text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The content of an event is what it says apart from its time, and the start of a session
/// that starts is its time: a client may send both, the same, and later send the event again
/// with another `timestamp`.
#[test]
fn a_session_that_starts_with_its_event_is_the_same_at_another_time() {
    use schemas::Timestamp;
    use schemas::event::{JsonDefaults, ValidationContext};

    let at = |text: &str| Timestamp::try_from(text.parse::<DateTime<Utc>>().unwrap()).unwrap();
    let now = at("2026-03-01T12:00:00Z");
    let defaults = JsonDefaults {
        organization_id: Uuid::from_u128(1),
        event_id: Uuid::from_u128(2),
        timestamp: now,
    };
    let context = ValidationContext {
        record_time: now,
        retention_seconds: 90 * 86_400,
    };
    let content = |timestamp: &str| {
        let body = json!({
            "user_id": Uuid::from_u128(3), "session_id": "s", "kind": "started",
            "timestamp": timestamp, "session_start": "2026-03-01T11:00:00Z",
        });
        let raw = serde_json::value::to_raw_value(&body).unwrap();
        let event =
            schemas::Event::from_json(EventKind::UserSession, &raw, &defaults, &context).unwrap();
        event.content_hash()
    };
    assert_eq!(
        content("2026-03-01T11:00:00Z"),
        content("2026-03-01T11:00:05Z")
    );
}
