//! Sessions start, go on and end.

use platform::auth::Role;
use schemas::{
    Event, EventKind,
    event::{SessionKind, UserSession},
};
use serde_json::json;
use uuid::Uuid;

use super::harness::{Answer, Harness, ME, OTHER, id, now_as_text};

async fn stored(harness: &Harness) -> Vec<UserSession> {
    let stored = harness.stored(EventKind::UserSession).await;
    let sessions = stored.into_iter().map(|stored| match stored.event {
        Event::UserSession(session) => session,
        _ => panic!("another kind"),
    });
    sessions.collect()
}

#[tokio::test]
async fn a_session_starts_goes_on_and_ends() {
    let harness = Harness::start().await;
    let at = now_as_text(chrono::TimeDelta::hours(-1));
    let started = harness
        .post("sessions/start", &json!({"user_id": ME, "timestamp": at}))
        .await;
    assert_eq!(
        (started.status, &started.body["status"]),
        (202, &json!("accepted"))
    );
    let session_id = started.body["session_id"].as_str().unwrap();
    assert_eq!(session_id.parse::<Uuid>().unwrap().get_version_num(), 7);

    let progress = json!({"user_id": ME, "commands_executed": 3, "session_id": session_id});
    let updated = harness.put_session(session_id, &progress).await;
    assert_eq!(
        (updated.status, &updated.body["session_id"]),
        (202, &json!(session_id))
    );
    let end = json!({"user_id": ME, "session_end": now_as_text(chrono::TimeDelta::zero())});
    assert_eq!(harness.put_session(session_id, &end).await.status, 202);
    let said = json!({"user_id": ME, "kind": "ended"});
    assert_eq!(harness.put_session(session_id, &said).await.status, 202);

    let stored = stored(&harness).await;
    let kinds: Vec<_> = stored.iter().map(|session| session.kind).collect();
    use SessionKind::{Ended, Started, Updated};
    assert_eq!(
        kinds,
        [Started, Updated, Ended, Ended],
        "a user's events keep their order"
    );
    assert!(
        stored
            .iter()
            .all(|session| session.session_id == session_id)
    );
    assert_eq!(stored[0].event_id, id(&started.body["event_id"]));
    assert_eq!(stored[0].session_start.unwrap().to_string(), at);
    assert_eq!(stored[1].event_id, id(&updated.body["event_id"]));
    assert_eq!(stored[1].commands_executed, Some(3));
}

#[tokio::test]
async fn a_start_sent_again_starts_the_same_session() {
    let harness = Harness::start().await;
    let start = json!({"user_id": ME});
    let key = [("idempotency-key", "k-1")];
    let post = || harness.post_as(Role::Developer, "sessions/start", &key, &start);
    let (first, again) = (post().await, post().await);
    assert_eq!((first.status, again.status), (202, 202));
    let ids = |answer: &Answer| ["event_id", "session_id"].map(|name| answer.body[name].clone());
    assert_eq!(ids(&first), ids(&again));

    let named = json!({"user_id": ME, "event_id": Uuid::from_u128(9)});
    let first = harness.post("sessions/start", &named).await;
    let again = harness.post("sessions/start", &named).await;
    assert_eq!(ids(&first), ids(&again));
    let own = json!({"user_id": ME, "session_id": "mine"});
    let answer = harness.post("sessions/start", &own).await;
    assert_eq!(answer.body["session_id"], "mine");
}

#[tokio::test]
async fn an_address_may_hold_any_session() {
    let harness = Harness::start().await;
    let body = json!({"user_id": ME});
    for (address, session_id) in [
        ("caf%C3%A9%2F1", "café/1"),
        ("a%20b", "a b"),
        ("%25", "%"),
        (&"x".repeat(255), &"x".repeat(255)),
    ] {
        let answer = harness.put_session(address, &body).await;
        assert_eq!(
            (answer.status, &answer.body["session_id"]),
            (202, &json!(session_id))
        );
    }
    let sessions = stored(&harness).await;
    assert_eq!(sessions[0].session_id, "café/1");
    for (address, code, fault) in [
        (
            &*"x".repeat(256),
            "invalid_event",
            Some(("/session_id", "length")),
        ),
        (
            "a%00",
            "invalid_event",
            Some(("/session_id", "nul_character")),
        ),
        ("%C0%A0", "invalid_path", None),
    ] {
        let answer = harness.put_session(address, &body).await;
        assert_eq!(answer.code(), (400, code), "{address}");
        assert_eq!(answer.faults(), Vec::from_iter(fault), "{address}");
    }
}

#[tokio::test]
async fn all_faults_of_a_session_are_told_at_once() {
    let harness = Harness::start().await;
    let start = json!({"kind": "started", "session_id": "", "extra": 1});
    let answer = harness.post("sessions/start", &start).await;
    assert_eq!(answer.code(), (400, "invalid_event"));
    let expected = [
        ("/extra", "unknown_field"),
        ("/kind", "unknown_field"),
        ("/session_id", "length"),
        ("/user_id", "required"),
    ];
    assert_eq!(answer.faults(), expected);
    let update =
        json!({"user_id": ME, "kind": "started", "session_id": "t", "duration_minutes": -1});
    let answer = harness.put_session("s", &update).await;
    let expected = [
        ("/duration_minutes", "range"),
        ("/kind", "choice"),
        ("/session_id", "session_id_mismatch"),
    ];
    assert_eq!(answer.faults(), expected);
    let others = harness.put_session("s", &json!({"user_id": OTHER})).await;
    assert_eq!(others.code(), (403, "not_as_itself"));
    assert!(stored(&harness).await.is_empty());
}
