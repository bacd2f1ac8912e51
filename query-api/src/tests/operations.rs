//! What administrators see: of their own organization, and of the installation what is nobody's.

use std::time::Duration;

use platform::{auth::Role, database, test_support::eventually};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::world::{OURS, THEIRS, World, body, execution, fact, interaction};
use crate::{
    health,
    operations::{dead_letters::list, jobs, performance, stats},
};
use schemas::{
    event::Status,
    rollup::SeriesKind::{Agent, Command},
};

async fn get(world: &World, organization: Uuid, path: &str) -> (u16, Value) {
    let token = world.token(organization, Role::Admin);
    let response = world.send(path, Some(&token)).await;
    (response.status().as_u16(), body(response).await)
}

#[tokio::test]
async fn administrators_alone_may() {
    let world = World::with(&[]).await;
    for path in [list::PATH, jobs::PATH, stats::PATH, performance::PATH] {
        for role in Role::ALL {
            let token = world.token(OURS, role);
            let response = world.send(path, Some(&token)).await;
            let expected = if role == Role::Admin { 200 } else { 403 };
            assert_eq!(response.status(), expected, "{path} {role:?}");
        }
        assert_eq!(world.send(path, None).await.status(), 401);
    }
    let live = world.send(health::LIVE, None).await;
    assert_eq!(
        (
            live.status().as_u16(),
            world.send(health::READY, None).await.status().as_u16()
        ),
        (200, 200)
    );
    world.pool.close().await;
    tokio::time::sleep(platform::http::health::KEPT).await;
    assert_eq!(world.send(health::READY, None).await.status(), 503);
    assert_eq!(world.send(health::LIVE, None).await.status(), 200);
}

/// Writes a letter; its offset is also its age in minutes.
pub(super) async fn letter(
    sink: &PgPool,
    organization: Option<Uuid>,
    offset: i64,
    reason: &str,
    client: Option<&str>,
    replayed: bool,
) {
    sqlx::query(
        "insert into flowmeter.dead_letters (recorded_at, organization_id, source_topic, \
            source_partition, source_offset, stage, reason, message, \"key\", \"value\", \
            dead_letter_partition, dead_letter_offset, event_id, client, replayed_at) \
         values (now() - make_interval(mins => $1::bigint::integer), $2, 'metrics.user-sessions', 1, $1, \
            'aggregator', $3, 'why', 'a:b', '\\x0001', 0, $1, null, $4, \
            case when $5 then now() end)",
    )
    .bind(offset)
    .bind(organization)
    .bind(reason)
    .bind(client)
    .bind(replayed)
    .execute(sink)
    .await
    .unwrap();
}

#[tokio::test]
async fn dead_letters_come_in_groups_and_in_pages() {
    let world = World::with(&[]).await;
    let sink = world.database.pool(database::Role::Sink).await;
    for n in 0..25 {
        let client = (n % 2 == 0).then_some("hook/1.2");
        letter(&sink, Some(OURS), n * 7, "invalid", client, n < 3).await;
    }
    letter(&sink, Some(OURS), 5000, "wrong_key", Some("sdk"), false).await;
    // Older than a week; somebody else's; nobody's.
    letter(&sink, Some(OURS), 20_000, "invalid", None, false).await;
    letter(&sink, Some(THEIRS), 1, "invalid", None, false).await;
    letter(&sink, None, 1, "bad_framing", None, false).await;

    let (status, first) = get(&world, OURS, &format!("{}?limit=10", list::PATH)).await;
    assert_eq!(status, 200, "{first}");
    let groups: Vec<_> = first["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| {
            json!([
                g["reason"],
                g["client"],
                g["topic"],
                g["count"],
                g["replayed"]
            ])
        })
        .collect();
    let topic = "metrics.user-sessions";
    assert_eq!(
        groups,
        [
            json!(["invalid", "hook/1.2", topic, 13, 2]),
            json!(["invalid", null, topic, 12, 1]),
            json!(["wrong_key", "sdk", topic, 1, 0]),
        ]
    );
    assert_eq!(first["more_groups"], false);
    let latest = &first["data"][0];
    assert_eq!(latest["id"], "metrics.user-sessions/1/0");
    assert_eq!(latest["key"], "a:b");
    assert_eq!(latest["value_bytes"], 2);
    assert!(latest["replayed_at"].is_string() && latest["failed_at"].is_string());

    let mut offsets = Vec::new();
    let mut path = format!("{}?limit=10", list::PATH);
    loop {
        let (status, page) = get(&world, OURS, &path).await;
        assert_eq!(status, 200, "{page}");
        let rows = page["data"].as_array().unwrap();
        offsets.extend(rows.iter().map(|row| row["offset"].as_i64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("{}?limit=10&cursor={cursor}", list::PATH);
    }
    let expected: Vec<i64> = (0..25).map(|n| n * 7).chain([5000]).collect();
    assert_eq!(offsets, expected);

    for (query, count) in [
        ("reason=wrong_key", 1),
        ("state=open", 23),
        ("state=replayed", 3),
        ("client=hook/*", 13),
        ("client=hook/1.2&state=open", 11),
        ("client=unknown", 12),
        ("topic=metrics.user-sessions", 26),
        ("topic=other", 0),
        ("start_date=2020-01-01T00:00:00Z&reason=invalid", 26),
    ] {
        let (_, page) = get(&world, OURS, &format!("{}?{query}", list::PATH)).await;
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{query}");
    }
    let (status, problem) = get(&world, OURS, &format!("{}?state=x&a=b", list::PATH)).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_query")));
}

#[tokio::test]
async fn jobs_are_told_without_what_is_somebody_elses() {
    let world = World::with(&[]).await;
    let jobs = world.database.pool(database::Role::Jobs).await;
    let details = json!({
        "days": 3, "rollups_healed": 2,
        "healed": [
            {"organization_id": OURS, "day": "2026-03-01T00:00:00Z", "windows": {}},
            {"organization_id": THEIRS, "day": "2026-03-02T00:00:00Z", "windows": {}},
        ],
    });
    for statement in [
        "insert into flowmeter.job_plans values ('reconcile', 'compares', '7 * * * *', now())",
        "insert into flowmeter.job_runs (job, \"trigger\", attempt, instance, started_at) \
            select 'health', 'schedule', 1, 'host-1', now() - make_interval(mins => n) \
            from generate_series(1, 30) n",
    ] {
        sqlx::query(statement).execute(&jobs).await.unwrap();
    }
    sqlx::query(
        "insert into flowmeter.job_runs (job, \"trigger\", attempt, instance, ended_at, outcome, \
            details, error) values ('reconcile', 'hand', 1, 'host-1', now(), 'failed', $1::text::jsonb, 'secret')",
    )
    .bind(details.to_string())
    .execute(&jobs)
    .await
    .unwrap();

    let (status, answer) = get(&world, OURS, &format!("{}?limit=20", jobs::PATH)).await;
    assert_eq!(status, 200, "{answer}");
    let [health, reconcile] = answer["data"].as_array().unwrap().as_slice() else {
        panic!("{answer}");
    };
    assert_eq!(
        (&health["job"], &health["schedule"]),
        (&json!("health"), &Value::Null)
    );
    let runs = health["history"].as_array().unwrap();
    assert_eq!(runs.len(), 20);
    assert_eq!(runs[0]["outcome"], Value::Null);
    assert!(runs[0]["started_at"].as_str() > runs[1]["started_at"].as_str());
    assert_eq!(reconcile["schedule"], "7 * * * *");
    assert!(reconcile["next_at"].is_string());
    let run = &reconcile["history"][0];
    assert_eq!(
        (&run["trigger"], &run["outcome"]),
        (&json!("hand"), &json!("failed"))
    );
    assert_eq!(run["healed"], json!([details["healed"][0]]));
    let text = answer.to_string();
    for hidden in [THEIRS.to_string().as_str(), "secret", "host-1"] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    let third = Uuid::from_u128(0xc);
    let (_, answer) = get(&world, third, jobs::PATH).await;
    assert!(
        answer["data"][1]["history"][0].get("healed").is_none(),
        "{answer}"
    );
}

#[tokio::test]
async fn stats_count_ones_own_and_measure_all() {
    let done = execution(Status::Success, 1);
    let facts = [
        (
            OURS,
            fact("2026-03-01T10:00:00Z", Command, "a", done.clone()),
        ),
        (
            OURS,
            fact("2026-03-04T10:00:00Z", Command, "b", done.clone()),
        ),
        (
            OURS,
            fact(
                "2026-03-02T10:00:00Z",
                Agent,
                "c",
                interaction(Status::Success, 1, (1, 1), "0"),
            ),
        ),
        (THEIRS, fact("2026-01-01T10:00:00Z", Command, "a", done)),
    ];
    let world = World::with(&facts).await;
    let sink = world.database.pool(database::Role::Sink).await;
    letter(&sink, Some(OURS), 1, "invalid", None, true).await;
    letter(&sink, Some(OURS), 2, "invalid", None, false).await;
    letter(&sink, Some(THEIRS), 1, "wrong_key", None, false).await;
    let (status, before) = get(&world, OURS, stats::PATH).await;
    assert_eq!(
        (status, &before["storage"]),
        (200, &Value::Null),
        "{before}"
    );
    let jobs = world.database.pool(database::Role::Jobs).await;
    sqlx::query(
        "insert into flowmeter.job_runs (job, \"trigger\", attempt, instance, ended_at, outcome, details) \
         values ('storage', 'schedule', 1, 'host-1', now(), 'succeeded', '{\"database_bytes\": 7}')",
    )
    .execute(&jobs)
    .await
    .unwrap();

    let (_, stats) = get(&world, OURS, stats::PATH).await;
    assert_eq!(
        stats["events"],
        json!([
            {"kind": "agent", "count": 1, "first_day": "2026-03-02", "last_day": "2026-03-02"},
            {"kind": "command", "count": 2, "first_day": "2026-03-01", "last_day": "2026-03-04"},
        ])
    );
    assert_eq!(
        stats["dead_letters"],
        json!([{"reason": "invalid", "count": 2, "replayed": 1}])
    );
    assert_eq!(stats["storage"]["details"], json!({"database_bytes": 7}));
    assert!(stats["changed_at"].as_str().unwrap() > "2026");
    let tables = stats["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 9);
    assert!(tables.iter().all(|table| table["estimated_rows"].is_u64()));
    let (_, nothing) = get(&world, Uuid::from_u128(0xc), stats::PATH).await;
    assert_eq!(
        (&nothing["events"], &nothing["changed_at"]),
        (&json!([]), &Value::Null)
    );
}

#[tokio::test]
async fn an_instance_tells_how_it_does_and_what_it_does_not_measure() {
    let world = World::with(&[]).await;
    let minute = eventually(Duration::from_secs(30), "two samples", || async {
        let (status, answer) = get(&world, OURS, performance::PATH).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["instance"], "test-1");
        assert_eq!(answer["service"], "query-api");
        let names = answer["not_measured"].as_array().unwrap();
        answer["windows"]
            .get("1m")
            .map(|minute| (minute.clone(), names.clone()))
    })
    .await;
    let (minute, not_measured) = minute;
    // No gateway and no sink run in this process.
    assert_eq!(minute["ingestion_rate"], Value::Null);
    assert_eq!(minute["processing_latency_ms"], Value::Null);
    assert!(not_measured.contains(&json!("ingestion_rate")));
    assert!(minute["memory_usage_mb"].as_f64().unwrap() > 1.0);
    assert!(!not_measured.contains(&json!("memory_usage_mb")));
}
