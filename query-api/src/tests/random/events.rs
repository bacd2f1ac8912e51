//! A year of raw events of all kinds, and rollups of them as the sink makes them.

use chrono::{DateTime, Datelike, Utc, Weekday};
use futures_util::future::join_all;
use platform::{database::Role, test_support::TestDatabase};
use rand::{Rng, RngExt, seq::IndexedRandom};
use schemas::{Timestamp, Window};
use serde_json::{Value, json};
use sink::rebuild::{Rebuild, Step, compare};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::made;
use crate::tests::world::at;

/// The first has events all year, the second only lately.
pub(super) const ORGANIZATIONS: [Uuid; 2] = [Uuid::from_u128(0xa), Uuid::from_u128(0xb)];
/// 365 days.
pub(super) const FROM: &str = "2025-06-15T00:00:00Z";
pub(super) const TO: &str = "2026-06-15T00:00:00Z";
/// Since when the second organization has events.
const FOUNDED: &str = "2026-02-20T00:00:00Z";
/// Days without any.
const EMPTY: [&str; 2] = ["2025-12-24T00:00:00Z", "2025-12-28T00:00:00Z"];
/// When clocks are set in some of the zones that are asked about, and other instants at which
/// days begin somewhere.
const EDGES: [&str; 14] = [
    "2025-09-07T04:00:00Z",
    "2025-09-27T14:00:00Z",
    "2025-10-04T15:30:00Z",
    "2025-10-25T21:00:00Z",
    "2025-10-26T01:00:00Z",
    "2025-11-02T06:00:00Z",
    "2026-03-28T22:00:00Z",
    "2026-03-29T00:00:00Z",
    "2026-03-29T01:00:00Z",
    "2026-03-29T22:00:00Z",
    "2026-04-03T18:15:00Z",
    "2026-04-04T15:00:00Z",
    "2026-04-05T03:00:00Z",
    "2026-04-05T13:30:00Z",
];
/// Hours in which much more happens than in others.
const BURSTS: i64 = 25;
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// What is special of one event of a kind.
type Made<R> = fn(&mut R, Timestamp) -> Value;

/// Writes the events of the year, and their rollups by the sink's own code: what `flowmeter
/// rebuild` runs, since events that come by Kafka would have to be sent in a year's order.
pub(super) async fn store<R: Rng>(database: &TestDatabase, random: &mut R) {
    let owner = database.pool(Role::Owner).await;
    // Of the usual chunks, a day each, a year has two thousand: to make them takes longer than
    // all that is written to them.
    for table in made::TABLES.into_iter().chain(["rollups_1m"]) {
        let sql = format!(
            "select public.set_chunk_time_interval('flowmeter.{table}', interval '30 days')"
        );
        sqlx::query(AssertSqlSafe(sql))
            .execute(&owner)
            .await
            .unwrap();
    }
    let kinds: [(usize, Made<R>); 4] = [
        (4500, made::command),
        (2400, made::agent),
        (1100, made::metric),
        (1500, made::session),
    ];
    let sink = database.pool(Role::Sink).await;
    for (table, (many, make)) in made::TABLES.into_iter().zip(kinds) {
        let mut rows: Vec<Value> = Vec::new();
        for n in 0..many {
            let at = when(random);
            let organization = organization_at(at, random);
            let mut row = made::common(random, organization, at, n);
            let Value::Object(own) = make(random, at) else {
                unreachable!("each makes an object")
            };
            row.as_object_mut().unwrap().extend(own);
            // Some were sent again much later, and so are there twice.
            if let Some(last) = rows.last().filter(|_| random.random_bool(0.02)) {
                for name in ["event_id", "timestamp", "organization_id"] {
                    row[name] = last[name].clone();
                }
            }
            rows.push(row);
        }
        insert(&sink, table, rows).await;
    }
    roll_up(&sink).await;
}

/// Writes raw rows.
pub(super) async fn insert(sink: &PgPool, table: &str, rows: Vec<Value>) {
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

/// In several parts at once, since each day waits for the database.
async fn roll_up(sink: &PgPool) {
    let (from, to) = (at(FROM), at(TO));
    let part = |organization, n: i64, of: i64, from: Timestamp| {
        let days = (to.micros() - from.micros()) / DAY;
        let day = |n: i64| from.saturating_add_seconds(days * n / of * 86_400);
        let part = Rebuild {
            from: day(n),
            to: day(n + 1),
            organization: Some(organization),
            dry_run: false,
            from_kafka: false,
        };
        async move {
            let goes_on = |_: Step| true;
            compare(sink, &Window::ALL, &part, goes_on).await.unwrap();
        }
    };
    let [old, new] = ORGANIZATIONS;
    let mut parts = vec![part(new, 0, 1, at(FOUNDED))];
    parts.extend((0..3).map(|n| part(old, n, 3, from)));
    join_all(parts).await;
}

/// Says up to where no event is expected any more.
pub(super) async fn say_watermark(sink: &PgPool, until: Timestamp) {
    sqlx::query(
        "insert into flowmeter.watermarks values \
         ('command_execution', 0, 0, $1::text::timestamptz, 1)",
    )
    .bind(until.to_string())
    .execute(sink)
    .await
    .unwrap();
}

/// Any instant of the year, often one at which something begins or the last before it.
pub(super) fn instant(random: &mut impl Rng) -> Timestamp {
    let (from, to) = (at(FROM).micros(), at(TO).micros());
    let any = random.random_range(from..to);
    let micros = match random.random_range(0..10) {
        0..6 => any,
        6 => any - any.rem_euclid(HOUR),
        _ => edge(random),
    };
    Timestamp::from_micros(micros).unwrap()
}

/// One of the edges, or close to it.
fn edge(random: &mut impl Rng) -> i64 {
    let edge = at(EDGES.choose(random).unwrap()).micros();
    match random.random_range(0..4) {
        0 => edge,
        1 => edge - 1,
        _ => edge + random.random_range(-2 * HOUR..2 * HOUR),
    }
}

/// So many seconds, of any order of magnitude between the two.
pub(super) fn seconds(random: &mut impl Rng, least: i64, most: i64) -> i64 {
    let (least, most) = (least as f64, most.max(least + 1) as f64);
    random.random_range(least.ln()..most.ln()).exp() as i64
}

/// When something happens: in the hours of work, on few weekends, and at times all at once.
fn when(random: &mut impl Rng) -> Timestamp {
    let from = at(FROM).micros();
    let empty = EMPTY.map(|day| at(day).micros());
    loop {
        let micros = match random.random_range(0..100) {
            0..12 => edge(random),
            12..20 => {
                let burst = random.random_range(0..BURSTS);
                from + burst * 351 * HOUR + (burst % 9) * HOUR + random.random_range(0..HOUR)
            }
            _ => {
                let day = from + random.random_range(0..365) * DAY;
                let hour = 6.0 + random.random_range(0.0..8.0) + random.random_range(0.0..6.0);
                day + (hour * HOUR as f64) as i64
            }
        };
        let at = Timestamp::from_micros(micros).unwrap();
        let weekday = DateTime::<Utc>::from(at).weekday();
        let works = !matches!(weekday, Weekday::Sat | Weekday::Sun) || random.random_bool(0.2);
        if works && !(empty[0]..empty[1]).contains(&micros) {
            return at;
        }
    }
}

fn organization_at(instant: Timestamp, random: &mut impl Rng) -> Uuid {
    let new = instant >= at(FOUNDED) && random.random_bool(0.4);
    ORGANIZATIONS[usize::from(new)]
}

/// A range of so many seconds, most often one in which something happened.
pub(super) fn range(random: &mut impl Rng, length: i64) -> (Timestamp, Timestamp) {
    let start = match random.random_bool(0.7) {
        true => when(random).saturating_add_seconds(-random.random_range(0..length)),
        false => instant(random),
    };
    (start, start.saturating_add_seconds(length))
}

/// Most often one that has events at that time; at times one that never had any.
pub(super) fn some_organization(random: &mut impl Rng, at: Timestamp) -> Uuid {
    match random.random_range(0..50) {
        0 => Uuid::from_u128(0xc),
        1 | 2 => ORGANIZATIONS[1],
        _ => organization_at(at, random),
    }
}

/// As the database writes it.
pub(super) fn text(at: Timestamp) -> Value {
    json!(at.to_string())
}
