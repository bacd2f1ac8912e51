//! Raw events of all kinds, and rollups of them as the sink makes them.

use rand::{Rng, RngExt, seq::IndexedRandom};
use schemas::{Timestamp, Window};
use serde_json::{Value, json};
use sink::rebuild::{Rebuild, Step, compare};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::tests::world::at;

pub(super) const ORGANIZATIONS: [Uuid; 3] = [
    Uuid::from_u128(0xa),
    Uuid::from_u128(0xb),
    Uuid::from_u128(0xc),
];
/// Names in an order that a locale would change.
pub(super) const COMMANDS: [&str; 5] = ["build", "Build", "test", "ä b", "a,b"];
pub(super) const AGENTS: [&str; 3] = ["coder", "Reviewer", "日本"];
pub(super) const MODELS: [&str; 3] = ["small", "large", "Large/2+"];
pub(super) const METRICS: [&str; 4] = ["productivity_score", "error_rate", "a.b", "a_b"];
/// In Europe and Lebanon clocks are set on 29 March, in Chile and Australia on 5 April.
pub(super) const FROM: &str = "2026-03-26T00:00:00Z";
pub(super) const TO: &str = "2026-04-08T00:00:00Z";
/// When they are, and other instants at which days begin somewhere.
const EDGES: [&str; 8] = [
    "2026-03-28T22:00:00Z",
    "2026-03-29T00:00:00Z",
    "2026-03-29T01:00:00Z",
    "2026-03-29T22:00:00Z",
    "2026-04-03T18:15:00Z",
    "2026-04-04T15:00:00Z",
    "2026-04-05T03:00:00Z",
    "2026-04-05T13:30:00Z",
];
/// Events of each kind.
const EVENTS: usize = 800;

/// The n-th of a small number of users, teams and projects.
pub(super) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x1000 + n)
}

/// What is special of one event of a kind.
type Made<R> = fn(&mut R) -> Value;

/// Writes random events, and their rollups by the sink's own code.
pub(super) async fn store<R: Rng>(sink: &PgPool, random: &mut R) {
    let kinds: [(&str, Made<R>); 4] = [
        ("command_executions", command),
        ("agent_interactions", agent),
        ("productivity_metrics", metric),
        ("user_sessions", session),
    ];
    for (table, make) in kinds {
        let rows: Vec<Value> = (0..EVENTS)
            .map(|_| {
                let mut row = common(random);
                let Value::Object(own) = make(random) else {
                    unreachable!("each makes an object")
                };
                row.as_object_mut().unwrap().extend(own);
                row
            })
            .collect();
        let insert = format!(
            "insert into flowmeter.{table} \
             select * from jsonb_populate_recordset(null::flowmeter.{table}, $1::text::jsonb)"
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(Value::from(rows).to_string())
            .execute(sink)
            .await
            .unwrap();
    }
    let all = Rebuild {
        from: at(FROM),
        to: at(TO),
        organization: None,
        dry_run: false,
        from_kafka: false,
    };
    let goes_on = |_: Step| true;
    compare(sink, &Window::ALL, &all, goes_on).await.unwrap();
    let until = instant(random);
    sqlx::query(
        "insert into flowmeter.watermarks values \
         ('command_execution', 0, 0, $1::text::timestamptz, 1)",
    )
    .bind(until.to_string())
    .execute(sink)
    .await
    .unwrap();
}

/// Any instant, often one at which something begins or the last before it.
pub(super) fn instant(random: &mut impl Rng) -> Timestamp {
    let (from, to) = (at(FROM).micros(), at(TO).micros());
    let any = random.random_range(from..to);
    let edge = at(EDGES.choose(random).unwrap()).micros();
    let micros = match random.random_range(0..10) {
        0..5 => any,
        5 => Window::H1
            .start(Timestamp::from_micros(any).unwrap())
            .micros(),
        6 => edge,
        7 => edge - 1,
        _ => edge + random.random_range(-7_200_000_000..7_200_000_000_i64),
    };
    Timestamp::from_micros(micros).unwrap()
}

/// One of the first so many, or none.
fn one_of(random: &mut impl Rng, many: u128) -> Option<Uuid> {
    let n = random.random_range(0..=many);
    (n > 0).then(|| id(n))
}

fn common(random: &mut impl Rng) -> Value {
    let at = instant(random).to_string();
    json!({
        "event_id": Uuid::from_u128(random.random()),
        "organization_id": ORGANIZATIONS.choose(random),
        "user_id": id(random.random_range(1..=5)),
        "team_id": one_of(random, 3),
        "project_id": one_of(random, 2),
        "timestamp": at,
        "received_at": at,
        "source_partition": 0,
        "source_offset": 0,
    })
}

/// Of any order of magnitude.
fn millis(random: &mut impl Rng) -> u64 {
    let most = 10_u64.pow(random.random_range(0..7));
    random.random_range(0..=most.min(3_600_000))
}

fn status(random: &mut impl Rng) -> &'static str {
    ["success", "success", "error", "timeout", "cancelled"]
        .choose(random)
        .unwrap()
}

fn command<R: Rng>(random: &mut R) -> Value {
    json!({
        "command_name": COMMANDS.choose(random),
        "execution_time_ms": millis(random),
        "status": status(random),
    })
}

fn agent<R: Rng>(random: &mut R) -> Value {
    let sometimes = |random: &mut R, most: u64| {
        let number = random.random_range(0..=most);
        random.random_bool(0.8).then_some(number)
    };
    let cost = sometimes(random, 5_000_000_000_000);
    json!({
        "agent_name": AGENTS.choose(random),
        "model": MODELS.choose(random).filter(|_| random.random_bool(0.8)),
        "interaction_type": "chat",
        "execution_time_ms": millis(random),
        "status": status(random),
        "input_tokens": sometimes(random, 1_000_000_000),
        "output_tokens": sometimes(random, 1000),
        "cost_usd": cost.map(|units| format!("{}.{:012}", units / 10_u64.pow(12), units % 10_u64.pow(12))),
    })
}

fn metric<R: Rng>(random: &mut R) -> Value {
    let user = one_of(random, 5);
    json!({
        "user_id": user,
        "metric_type": METRICS.choose(random),
        "metric_value": f64::from(random.random_range(-1000..10_000_i32)) / 100.0,
    })
}

fn session<R: Rng>(random: &mut R) -> Value {
    let start = instant(random);
    let end = start.saturating_add_seconds(random.random_range(0..86_400));
    let kind = ["started", "updated", "ended", "ended"].choose(random);
    let ever = |random: &mut R| random.random_bool(0.6);
    json!({
        "session_id": "s",
        "kind": kind,
        "session_start": Some(start.to_string()).filter(|_| ever(random)),
        "session_end": Some(end.to_string()).filter(|_| ever(random)),
        "duration_minutes": Some(f64::from(random.random_range(0..1_440_000_i32)) / 1000.0)
            .filter(|_| ever(random)),
        "commands_executed": Some(random.random_range(0..50)).filter(|_| ever(random)),
        "productivity_score": Some(f64::from(random.random_range(0..400_i32)) / 4.0)
            .filter(|_| ever(random)),
    })
}
