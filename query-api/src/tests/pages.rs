//! Pages hold the same rows as one page, whatever their length.

use schemas::{
    event::Status,
    rollup::SeriesKind::{Agent, Command, Metric},
};
use serde_json::Value;
use uuid::Uuid;

use super::world::{Fact, OURS, World, execution, fact, id, interaction, metric, store};

const RANGE: &str = "start_date=2026-03-01T00:00:00Z&end_date=2026-03-03T00:00:00Z";

/// Names in an order that a locale would change, users and teams that may be none.
fn facts() -> Vec<(Uuid, Fact)> {
    let names = ["b", "B", "a", "A b", "ä", "~", "a.b", "日本"];
    let mut facts = Vec::new();
    for i in 0_usize..150 {
        let when = format!("2026-03-0{}T{:02}:{:02}:00Z", 1 + i % 2, i % 5, i % 60);
        let name = names[i % names.len()];
        let one = match i % 3 {
            0 => fact(&when, Command, name, execution(Status::Success, i as u64)),
            1 => fact(
                &when,
                Agent,
                name,
                interaction(Status::Error, 5, (1, 1), "0.5"),
            ),
            _ => fact(&when, Metric, ["a", "b"][i % 2], metric(i as f64)),
        };
        let one_of = |n: usize| Some(i % n).filter(|k| *k > 0).and_then(|k| id(k as u128));
        facts.push((OURS, one.by(one_of(4), one_of(3)).in_project(one_of(2))));
    }
    facts
}

async fn all_pages(world: &World, query: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = world
            .ask(OURS, &format!("{query}&limit={limit}{cursor}"))
            .await;
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        rows.extend(data.iter().cloned());
        match page["next_cursor"].as_str() {
            // A page before the last is full.
            Some(next) => {
                assert_eq!(data.len(), limit);
                cursor = format!("&cursor={next}");
            }
            None => return rows,
        }
    }
}

#[tokio::test]
async fn all_pages_together_are_one_page_for_every_grouping() {
    let world = World::with(&facts()).await;
    for group_by in ["none", "user", "team", "command", "agent", "metric_type"] {
        let query = format!("{RANGE}&group_by={group_by}");
        let whole = world.rows(OURS, &query).await;
        assert!(whole.len() >= 10, "{group_by}");
        for limit in [1, 3, whole.len() - 1, whole.len(), whole.len() + 1] {
            let paged = all_pages(&world, &query, limit).await;
            assert_eq!(paged, whole, "{group_by} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_page_of_more_rollups_than_are_fetched_at_once_is_whole() {
    let world = World::with(&[]).await;
    // Over 2000 series in one bucket, in the finest scope.
    let facts: Vec<_> = (0..2100_u128)
        .map(|i| {
            let name = format!("command-{i}");
            let one = fact(
                "2026-03-01T10:00:00Z",
                Command,
                &name,
                execution(Status::Success, 1),
            );
            (OURS, one.by(id(i % 2 + 1), None))
        })
        .collect();
    let sink = world.database.pool(platform::database::Role::Sink).await;
    store(&sink, &facts).await;
    let rows = world.rows(OURS, &format!("{RANGE}&group_by=user")).await;
    let counts: Vec<_> = rows
        .iter()
        .map(|row| row["commands"]["count"].as_u64())
        .collect();
    assert_eq!(counts, [Some(1050), Some(1050)]);
    // Broken off early, and the connection is of use again.
    for _ in 0..3 {
        let first = world
            .rows(OURS, &format!("{RANGE}&group_by=command&limit=1"))
            .await;
        assert_eq!(first[0]["command_name"], "command-0");
    }
}

#[tokio::test]
async fn the_default_range_stays_that_of_the_first_page() {
    let now = chrono::Utc::now();
    let facts: Vec<_> = (1..=3)
        .map(|hours| {
            let when = (now - chrono::Duration::hours(hours)).to_rfc3339();
            (
                OURS,
                fact(&when, Command, "build", execution(Status::Success, 1)),
            )
        })
        .collect();
    let world = World::with(&facts).await;
    let (_, first) = world.ask(OURS, "limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = world.ask(OURS, &format!("cursor={cursor}")).await;
    assert_eq!(second["end_date"], first["end_date"]);
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    // A refusal says which parameter is to blame.
    let (status, problem) = world
        .ask(OURS, &format!("group_by=user&cursor={cursor}"))
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (400, &"/cursor".into())
    );
}
