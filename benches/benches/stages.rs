//! What one event costs in each pure stage of its way, side by side in one run. Compare
//! ratios, and runs of one machine only.
#![allow(missing_docs, reason = "criterion's macros write functions without")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use schemas::codec::{WriterSchema, decode_event, encode_event, event_schema};
use schemas::event::{JsonDefaults, ValidationContext};
use schemas::rollup::{RollupEntry, Scope, Series};
use schemas::{Event, EventKind, Rollup, Timestamp, Window};
use serde_json::value::RawValue;
use uuid::Uuid;

const KIND: EventKind = EventKind::AgentInteraction;
const JSON: &str = r#"{
    "user_id": "0197a0b0-0000-7000-8000-000000000001",
    "team_id": "0197a0b0-0000-7000-8000-000000000002",
    "agent_name": "coder", "interaction_type": "chat", "execution_time_ms": 1834,
    "status": "success", "input_tokens": 18233, "output_tokens": 712, "cost_usd": "0.065379",
    "model": "medium", "metadata": {"branch": "main", "files": [1, 2, 3], "cached": true}
}"#;

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000).expect("within the range")
}

fn context() -> ValidationContext {
    ValidationContext {
        record_time: now(),
        retention_seconds: 86_400,
    }
}

fn read(raw: &RawValue) -> Event {
    let defaults = JsonDefaults {
        organization_id: Uuid::from_u128(1),
        event_id: Uuid::from_u128(2),
        timestamp: now(),
    };
    Event::from_json(KIND, raw, &defaults, &context()).expect("the event is valid")
}

fn stages(criterion: &mut Criterion) {
    let raw: &RawValue = serde_json::from_str(JSON).expect("it is JSON");
    let event = read(raw);
    let bytes = encode_event(&event).expect("it fits its schema");
    let schema = WriterSchema::parse(event_schema(KIND)).expect("our schemas parse");
    let series = Series::of(&event);
    let one = Rollup::of(&event);
    let mut many = Rollup::default();
    (0..1000).for_each(|_| many.merge(&one));

    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(1));
    group.bench_function("read and validate JSON", |b| {
        b.iter(|| read(black_box(raw)))
    });
    group.bench_function("encode", |b| b.iter(|| encode_event(black_box(&event))));
    group.bench_function("decode", |b| {
        b.iter(|| decode_event(KIND, &schema, black_box(&bytes)));
    });
    group.bench_function("validate again", |b| {
        b.iter_batched(
            || event.clone(),
            |event| event.validate(&context()),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("roll up", |b| b.iter(|| Rollup::of(black_box(&event))));
    group.bench_function("merge one", |b| {
        b.iter_batched_ref(
            || many.clone(),
            |sum| sum.merge(black_box(&one)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("expand one delta", |b| {
        b.iter(|| {
            for scope in Scope::ALL {
                let id = series.within(scope).id();
                for window in Window::ALL {
                    black_box((id, window.start(now())));
                }
            }
        });
    });
    group.bench_function("delta to entry and back", |b| {
        b.iter(|| RollupEntry::new(now(), series.clone(), black_box(&many)).into_parts());
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
