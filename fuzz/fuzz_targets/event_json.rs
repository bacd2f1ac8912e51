//! A posted event: reading it never panics, and what is accepted is the same event after a
//! record's way through Kafka.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use schemas::{
    Event, EventKind, Timestamp,
    codec::{WriterSchema, decode_event, encode_event, event_schema},
    event::{JsonDefaults, ValidationContext},
};
use serde_json::value::RawValue;
use uuid::Uuid;

static WRITERS: LazyLock<[WriterSchema; 4]> = LazyLock::new(|| {
    EventKind::ALL.map(|kind| WriterSchema::parse(event_schema(kind)).expect("it parses"))
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    let now = Timestamp::from_millis(1_800_000_000_000).expect("it is a time");
    let defaults = JsonDefaults {
        organization_id: Uuid::from_u128(1),
        event_id: Uuid::from_u128(2),
        timestamp: now,
    };
    let context = ValidationContext {
        record_time: now,
        retention_seconds: 90 * 86_400,
    };
    for (kind, writer) in EventKind::ALL.into_iter().zip(&*WRITERS) {
        match Event::from_json(kind, raw, &defaults, &context) {
            Ok(event) => {
                let avro = encode_event(&event).expect("what is accepted can be written");
                let read = decode_event(kind, writer, &avro).expect("what was written is read");
                let read = read.validate(&context).expect("what was accepted is accepted");
                assert_eq!(read, event);
            }
            Err(faults) => assert!(!faults.is_empty()),
        }
    }
});
