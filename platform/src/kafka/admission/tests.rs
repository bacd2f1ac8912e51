use schemas::codec::{encode_event, event_schema};
use schemas::event::JsonDefaults;
use uuid::Uuid;

use super::super::registry::frame;
use super::*;

const NOW: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn event() -> Event {
    event_of(1)
}

fn event_of(organization: u128) -> Event {
    let now = at(NOW);
    let json = r#"{"user_id":"00000000-0000-0000-0000-000000000002","command_name":"build",
        "execution_time_ms":5,"status":"success"}"#;
    Event::from_json(
        EventKind::CommandExecution,
        serde_json::from_str(json).unwrap(),
        &JsonDefaults {
            organization_id: Uuid::from_u128(organization),
            event_id: Uuid::from_u128(3),
            timestamp: now,
        },
        &ValidationContext {
            record_time: now,
            retention_seconds: DAY,
        },
    )
    .unwrap()
}

fn known(_: SchemaRef) -> Result<Arc<WriterSchema>, LookupError> {
    let schema = WriterSchema::parse(event_schema(EventKind::CommandExecution)).unwrap();
    Ok(Arc::new(schema))
}

/// Judges the record of `event` after `change` had its way with it.
fn verdict(
    event: &Event,
    change: impl FnOnce(&mut RecordParts<'_>),
) -> Result<Verdict, LookupError> {
    let (key, value) = (event.key(), frame(1, &encode_event(event).unwrap()));
    let mut record = RecordParts {
        key: Some(key.as_bytes()),
        value: Some(&value),
        schema_header: None,
        log_time: at(NOW),
    };
    change(&mut record);
    judge(EventKind::CommandExecution, record, DAY, known)
}

fn reason(verdict: Result<Verdict, LookupError>) -> Reason {
    match verdict {
        Ok(Verdict::Refused(refusal)) => refusal.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_record_is_admitted_as_it_was() {
    assert_eq!(verdict(&event(), |_| ()), Ok(Verdict::Admitted(event())));
}

#[test]
fn what_is_wrong_has_its_reason() {
    let of = |change: fn(&mut RecordParts<'_>)| reason(verdict(&event(), change));
    assert_eq!(of(|r| r.value = None), Reason::NoValue);
    assert_eq!(of(|r| r.value = Some(b"garbage")), Reason::BadFraming);
    assert_eq!(of(|r| r.schema_header = Some(b"?")), Reason::BadFraming);
    assert_eq!(
        of(|r| r.value = Some(&[0, 0, 0, 0, 1, 9, 9])),
        Reason::Undecodable
    );
    assert_eq!(of(|r| r.key = None), Reason::WrongKey);
    assert_eq!(of(|r| r.key = Some(b"x:y")), Reason::WrongKey);
    // Judged by the log's time, not by a clock.
    assert_eq!(of(|r| r.log_time = at(NOW - 301_000)), Reason::Invalid);
    assert_eq!(
        of(|r| r.log_time = at(NOW + (DAY + 1) * 1000)),
        Reason::Invalid
    );
}

#[test]
fn only_a_registry_that_answers_gives_a_verdict() {
    let event = event();
    let (key, value) = (event.key(), frame(1, &encode_event(&event).unwrap()));
    let judged = |error: LookupError| {
        let record = RecordParts {
            key: Some(key.as_bytes()),
            value: Some(&value),
            schema_header: None,
            log_time: at(NOW),
        };
        judge(EventKind::CommandExecution, record, DAY, |_| Err(error))
    };
    assert_eq!(reason(judged(LookupError::NotFound)), Reason::UnknownSchema);
    let invalid = LookupError::Invalid("not Avro".into());
    assert_eq!(reason(judged(invalid)), Reason::UnusableSchema);
    let away = LookupError::Transient("away".into());
    assert_eq!(judged(away.clone()), Err(away));
}

#[test]
fn every_fault_is_in_the_message() {
    let Event::CommandExecution(mut command) = event() else {
        panic!("another kind");
    };
    command.command_name.clear();
    command.execution_time_ms = -1;
    let Ok(Verdict::Refused(refusal)) = verdict(&Event::CommandExecution(command), |_| ()) else {
        panic!("admitted");
    };
    assert_eq!(refusal.reason, Reason::Invalid);
    assert!(refusal.message.contains("/command_name"));
    assert!(refusal.message.contains("/execution_time_ms"));
}

#[test]
fn the_same_id_in_another_organization_is_another_event() {
    let mut seen = Deduplicator::new(std::time::Duration::from_secs(60));
    assert_eq!(seen.see(&event_of(1), at(NOW)), Sighting::First);
    assert_eq!(seen.see(&event_of(2), at(NOW)), Sighting::First);
    assert_eq!(seen.see(&event_of(1), at(NOW)), Sighting::Again);
    assert_eq!(seen.len(), 2);
}
