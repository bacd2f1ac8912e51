use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    Rollup, Timestamp, Usd,
    event::{
        AgentInteraction, CommandExecution, ProductivityMetric, SessionKind, Status, UserSession,
    },
    free_object::FreeObject,
    rollup::{ExecutionTime, RollupEntry, Series, SeriesKind, Values},
};

fn ids() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn times() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.micros()..=Timestamp::MAX.micros())
        .prop_map(|m| Timestamp::from_micros(m).unwrap())
}

fn objects() -> impl Strategy<Value = Option<FreeObject>> {
    prop::option::of("\\PC{0,20}".prop_map(FreeObject::unchecked))
}

fn texts() -> impl Strategy<Value = Option<String>> {
    prop::option::of("\\PC{0,20}")
}

type Ids = (Uuid, Uuid, Timestamp, Uuid, Option<Uuid>, Option<Uuid>);

fn common() -> impl Strategy<Value = Ids> {
    let id = || prop::option::of(ids());
    (ids(), ids(), times(), ids(), id(), id())
}

fn statuses() -> impl Strategy<Value = Status> {
    prop::sample::select(&Status::ALL[..])
}

fn events() -> impl Strategy<Value = Event> {
    let command = (
        common(),
        "\\PC{1,20}",
        0i64..=3_600_000,
        statuses(),
        objects(),
        texts(),
        objects(),
    )
        .prop_map(
            |(
                (event_id, organization_id, timestamp, user_id, team_id, project_id),
                command_name,
                execution_time_ms,
                status,
                command_args,
                error_message,
                context,
            )| {
                Event::CommandExecution(CommandExecution {
                    event_id,
                    organization_id,
                    timestamp,
                    user_id,
                    team_id,
                    project_id,
                    command_name,
                    execution_time_ms,
                    status,
                    command_args,
                    error_message,
                    context,
                })
            },
        );
    let tokens = || prop::option::of(0i64..=1_000_000_000);
    let cost = prop::option::of((0..=Usd::EVENT_MAX.units()).prop_map(Usd::from_units));
    let agent = (
        common(),
        "\\PC{1,20}",
        0i64..=3_600_000,
        statuses(),
        tokens(),
        tokens(),
        cost,
        texts(),
        prop::option::of(ids()),
        objects(),
    )
        .prop_map(
            |(
                (event_id, organization_id, timestamp, user_id, team_id, project_id),
                agent_name,
                execution_time_ms,
                status,
                input_tokens,
                output_tokens,
                cost_usd,
                model,
                command_execution_id,
                metadata,
            )| {
                Event::AgentInteraction(AgentInteraction {
                    event_id,
                    organization_id,
                    timestamp,
                    user_id,
                    team_id,
                    project_id,
                    agent_name,
                    interaction_type: "chat".into(),
                    execution_time_ms,
                    status,
                    input_tokens,
                    output_tokens,
                    cost_usd,
                    model,
                    command_execution_id,
                    error_message: None,
                    metadata,
                })
            },
        );
    let metric = (common(), "[a-z]{1,9}", -1e18f64..=1e18, texts(), objects()).prop_map(
        |(
            (event_id, organization_id, timestamp, _, team_id, project_id),
            metric_type,
            metric_value,
            metric_unit,
            dimensions,
        )| {
            Event::ProductivityMetric(ProductivityMetric {
                event_id,
                organization_id,
                timestamp,
                user_id: None,
                team_id,
                project_id,
                metric_type,
                metric_value,
                metric_unit,
                dimensions,
            })
        },
    );
    let session = (
        common(),
        "\\PC{1,20}",
        prop::option::of(times()),
        prop::option::of(0.0f64..=1440.0),
        prop::option::of(0i64..),
        prop::option::of(prop::collection::vec("\\PC{1,9}", 0..3)),
        objects(),
        prop::sample::select(vec![
            SessionKind::Started,
            SessionKind::Updated,
            SessionKind::Ended,
        ]),
    )
        .prop_map(
            |(
                (event_id, organization_id, timestamp, user_id, team_id, project_id),
                session_id,
                session_start,
                duration_minutes,
                commands_executed,
                agents_used,
                context,
                kind,
            )| {
                Event::UserSession(UserSession {
                    event_id,
                    organization_id,
                    timestamp,
                    user_id,
                    team_id,
                    project_id,
                    session_id,
                    kind,
                    session_start,
                    session_end: session_start,
                    duration_minutes,
                    commands_executed,
                    agents_used,
                    productivity_score: duration_minutes,
                    context,
                })
            },
        );
    prop_oneof![command, agent, metric, session]
}

fn schema(kind: EventKind) -> WriterSchema {
    WriterSchema::parse(event_schema(kind)).unwrap()
}

proptest! {
    #[test]
    fn an_event_goes_both_ways(event in events()) {
        let bytes = encode_event(&event).unwrap();
        prop_assert_eq!(decode_event(event.kind(), &schema(event.kind()), &bytes), Ok(event));
    }

    #[test]
    fn a_cut_or_lengthened_event_is_refused(event in events(), cut in 0usize..200) {
        let mut bytes = encode_event(&event).unwrap();
        bytes.push(0);
        prop_assert!(decode_event(event.kind(), &schema(event.kind()), &bytes).is_err());
        bytes.truncate(cut.min(bytes.len() - 2));
        prop_assert!(decode_event(event.kind(), &schema(event.kind()), &bytes).is_err());
    }

    #[test]
    fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in EventKind::ALL {
            let _ = decode_event(kind, &schema(kind), &bytes);
        }
        let _ = decode_rollups(&WriterSchema::parse(rollup_schema()).unwrap(), &bytes);
    }

    #[test]
    fn deltas_go_both_ways(events in prop::collection::vec(events(), 0..10)) {
        let entries = events
            .iter()
            .map(|e| RollupEntry::new(e.common().timestamp, Series::of(e), &Rollup::of(e)))
            .collect();
        let batch = RollupBatch { organization_id: Uuid::from_u128(5), entries };
        let bytes = encode_rollups(&batch).unwrap();
        prop_assert_eq!(decode_rollups(&WriterSchema::parse(rollup_schema()).unwrap(), &bytes), Ok(batch));
    }
}

/// A producer of another language keeps a schema of its own: fewer optional fields, another
/// order, another scale, one field more.
#[test]
fn a_foreign_writers_schema_is_understood() {
    let writer = r#"{"type":"record","name":"Mine","fields":[
        {"name":"cost_usd","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"agent_name","type":"string"},
        {"name":"extra","type":"int"},
        {"name":"interaction_type","type":"string"},
        {"name":"execution_time_ms","type":"int"},
        {"name":"status","type":"string"},
        {"name":"event_id","type":"string"},
        {"name":"organization_id","type":"string"},
        {"name":"user_id","type":"string"},
        {"name":"timestamp","type":"long"}]}"#;
    let mut bytes = vec![4, 0x01, 0x2c]; // 3.00
    let text = |bytes: &mut Vec<u8>, t: &str| {
        bytes.push((t.len() * 2) as u8);
        bytes.extend_from_slice(t.as_bytes());
    };
    text(&mut bytes, "helper");
    bytes.push(2);
    text(&mut bytes, "chat");
    bytes.push(20);
    text(&mut bytes, "timeout");
    for _ in 0..3 {
        bytes.push(72);
        bytes.extend_from_slice(b"00000000-0000-0000-0000-000000000009");
    }
    bytes.push(0);
    let schema = WriterSchema::parse(writer).unwrap();
    let Event::AgentInteraction(event) =
        decode_event(EventKind::AgentInteraction, &schema, &bytes).unwrap()
    else {
        panic!("another kind");
    };
    assert_eq!(event.cost_usd, Some(Usd::from_units(3_000_000_000_000)));
    assert_eq!(
        (event.status, event.execution_time_ms),
        (Status::Timeout, 10)
    );
    assert_eq!(event.timestamp.micros(), 0);
}

/// What the first version of the schema wrote: two values of a metric, and a command.
#[test]
fn deltas_of_the_first_schema_are_understood() {
    let written = concat!(
        "4830303030303030302d303030302d303030302d303030302d30303030303030303030303504",
        "809c9c3904146572726f725f72617465000000024830303030303030302d303030302d303030302d",
        "303030302d303030303030303030303037040000000000000000000002300206302e33029a999999",
        "9999b93f029a9999999999c93f",
        "809c9c39000a6275696c64000000024830303030303030302d303030302d303030302d303030302d",
        "30303030303030303030303702020000001802180218041e010000023000000000",
    );
    let bytes: Vec<u8> = (0..written.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&written[i..i + 2], 16).unwrap())
        .collect();
    let writer =
        WriterSchema::parse(include_str!("../../avro/earlier/rollup_batch_1.avsc")).unwrap();
    let batch = decode_rollups(&writer, &bytes).unwrap();
    assert_eq!(batch.organization_id, Uuid::from_u128(5));
    let parts = batch.entries.into_iter().map(|entry| {
        let (minute, series, rollup) = entry.into_parts().unwrap();
        assert_eq!(minute.micros(), 60_000_000);
        assert_eq!(series.user_id, Some(Uuid::from_u128(7)));
        (series.kind, series.name, rollup)
    });
    let metric = Rollup {
        count: 2,
        values: Some(Values {
            count: 2,
            sum: 300_000_000_000,
            min: 0.1,
            max: 0.2,
        }),
        ..Rollup::default()
    };
    let command = Rollup {
        count: 1,
        by_status: [1, 0, 0, 0],
        execution_time: Some(ExecutionTime::of(12)),
        ..Rollup::default()
    };
    let expected = [
        (SeriesKind::Metric, "error_rate".to_owned(), metric),
        (SeriesKind::Command, "build".to_owned(), command),
    ];
    assert_eq!(parts.collect::<Vec<_>>(), expected);
}
