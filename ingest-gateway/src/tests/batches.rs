//! Many events at once.

use schemas::{Event, EventKind};
use serde_json::{Value, json};
use uuid::Uuid;

use super::harness::{Harness, command, now_as_text, one_of_each, with};

const COMMANDS: EventKind = EventKind::CommandExecution;

#[tokio::test]
async fn a_batch_holds_all_kinds_and_is_judged_by_event() {
    let harness = Harness::start().await;
    let at = now_as_text(chrono::TimeDelta::hours(-3));
    let batch = with(one_of_each(), json!({ "timestamp": at }));
    let answer = harness.post("batch", &batch).await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        (&answer.body["accepted"], &answer.body["rejected"]),
        (&json!(4), &json!(0))
    );
    for (kind, event_id) in EventKind::ALL.into_iter().zip(answer.ids()) {
        let stored = harness.stored(kind).await;
        assert_eq!(stored.len(), 1);
        let common = stored[0].event.common();
        assert_eq!(common.event_id, event_id);
        assert_eq!(common.timestamp.to_string(), at);
    }

    let own = Uuid::from_u128(99);
    let batch = json!({
        "command_executions": [
            command(json!({"command_name": "one"})),
            command(json!({"command_name": ""})),
            command(json!({"command_name": "two", "event_id": own})),
            command(json!({"command_name": "again", "event_id": own})),
        ],
        "user_sessions": ["no object"],
    });
    let answer = harness.post("batch", &batch).await;
    assert_eq!(answer.status, 207);
    let (accepted, invalid) = (("accepted", ""), ("rejected", "invalid_event"));
    let twice = ("rejected", "duplicate_event_id");
    assert_eq!(
        answer.results(),
        [accepted, invalid, accepted, twice, invalid]
    );
    let results = &answer.body["results"];
    assert_eq!(results[1]["errors"][0]["pointer"], "/command_name");
    assert_eq!(results[4]["kind"], "user_session");
    assert_eq!(
        (&results[4]["index"], &results[4]["event_id"]),
        (&json!(0), &Value::Null)
    );
    let names: Vec<_> = harness
        .stored(COMMANDS)
        .await
        .into_iter()
        .map(|stored| match stored.event {
            Event::CommandExecution(command) => command.command_name,
            _ => panic!("another kind"),
        })
        .collect();
    assert_eq!(
        names,
        ["build", "one", "two"],
        "one user's events keep their order"
    );

    let none = json!({"command_executions": [{}, 1]});
    let answer = harness.post("batch", &none).await;
    assert_eq!(answer.code(), (400, "no_event_accepted"));
    assert_eq!(answer.results(), [invalid, invalid]);
    for (batch, pointer, code) in [
        (json!({}), "", "empty_batch"),
        (json!({"events": []}), "/events", "unknown_field"),
    ] {
        let answer = harness.post("batch", &batch).await;
        assert_eq!(answer.code(), (400, "invalid_batch"));
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
        assert_eq!(answer.body["errors"][0]["code"], code);
    }
}

#[tokio::test]
async fn a_full_batch_is_accepted_whole_and_one_more_event_is_too_many() {
    let harness = Harness::start().await;
    let many = |count| json!({"command_executions": vec![command(json!({})); count]});
    let answer = harness.post("batch", &many(1000)).await;
    assert_eq!(
        (answer.status, &answer.body["accepted"]),
        (202, &json!(1000))
    );
    assert_eq!(harness.stored(COMMANDS).await.len(), 1000);
    let answer = harness.post("batch", &many(1001)).await;
    assert_eq!(answer.code(), (413, "batch_too_large"));
}
