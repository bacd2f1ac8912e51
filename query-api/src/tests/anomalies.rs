//! What stands out is found in stored rollups, and nothing of anyone else.

use platform::{auth::Role, database};
use schemas::{
    event::Status,
    rollup::SeriesKind::{Agent, Command},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Fact, OURS, THEIRS, World, at, body, execution, fact, id, interaction, say};

const RANGE: &str = "start_date=2026-03-30T12:00:00Z&end_date=2026-03-31T12:00:00Z";
const HOUR: &str = "2026-03-31T10:00:00Z";
const WEEK: i64 = 7 * 86_400;

/// So many commands in an hour, so many weeks before.
fn commands(organization: Uuid, weeks: i64, many: u64) -> Vec<(Uuid, Fact)> {
    let when = at(HOUR)
        .saturating_add_seconds(60 - weeks * WEEK)
        .to_string();
    let one = fact(&when, Command, "build", execution(Status::Success, 100));
    vec![(organization, one.by(id(1), id(11))); many as usize]
}

/// Around ten a week, and thirty this week; an interaction in another hour.
fn facts() -> Vec<(Uuid, Fact)> {
    let mut facts = commands(OURS, 0, 30);
    for (weeks, many) in [(1, 9), (2, 12), (3, 11), (4, 8), (5, 10), (7, 10), (8, 11)] {
        facts.extend(commands(OURS, weeks, many));
    }
    let expensive = interaction(Status::Success, 10, (1, 2), "3.5");
    facts.push((
        OURS,
        fact("2026-03-31T09:30:00Z", Agent, "coder", expensive),
    ));
    // In the other organization the hour is as always.
    for weeks in 0..=8 {
        facts.extend(commands(THEIRS, weeks, 30));
    }
    facts
}

async fn ask(world: &World, organization: Uuid, query: &str) -> Value {
    let token = world.token(organization, Role::Viewer);
    let path = format!("{}?{query}", crate::anomalies::PATH);
    let response = world.send(&path, Some(&token)).await;
    assert_eq!(response.status(), 200, "{query}");
    body(response).await
}

#[tokio::test]
async fn an_hour_that_stands_out_is_told_with_its_history_to_its_organization() {
    let world = World::with(&facts()).await;
    let none = ask(&world, OURS, RANGE).await;
    assert_eq!(
        (&none["watermark"], &none["judged"]),
        (&Value::Null, &json!(0))
    );
    let sink = world.database.pool(database::Role::Sink).await;
    say(
        &sink,
        &[(0, "2026-04-01T00:00:00Z"), (1, "2026-04-01T00:00:00Z")],
    )
    .await;

    let answer = ask(&world, OURS, RANGE).await;
    let data = answer["data"].as_array().unwrap();
    // An interaction where there never was one is no more than chance.
    let measures: Vec<_> = data
        .iter()
        .map(|a| a["measure"].as_str().unwrap())
        .collect();
    assert_eq!(measures, ["commands"], "{answer}");
    let history: Vec<Value> = [
        (8, 11.0),
        (7, 10.0),
        (6, 0.0),
        (5, 10.0),
        (4, 8.0),
        (3, 11.0),
        (2, 12.0),
        (1, 9.0),
    ]
    .map(|(weeks, value)| {
        let start = at(HOUR).saturating_add_seconds(-weeks * WEEK).to_string();
        json!({"bucket_start": start, "value": value})
    })
    .into();
    let scale = 10_f64.sqrt();
    assert_eq!(
        data[0],
        json!({
            "bucket_start": HOUR, "window": "1h", "measure": "commands", "value": 30.0,
            // 0 8 9 10 10 11 11 12; deviations 0 0 1 1 1 2 2 10.
            "median": 10.0, "mad": 1.0, "mean_ad": 17.0 / 8.0,
            "scale": scale, "basis": "floor", "z": 20.0 / scale, "history": history,
        })
    );
    assert_eq!(
        (&answer["more"], &answer["threshold"]),
        (&json!(false), &json!(3.5))
    );

    let found = async |organization, query: &str| {
        let answer = ask(&world, organization, &format!("{RANGE}&{query}")).await;
        answer["data"].as_array().unwrap().len()
    };
    assert_eq!(found(OURS, "threshold=7").await, 0);
    assert_eq!(found(OURS, "measure=agents").await, 0);
    assert_eq!(found(OURS, "measure=commands").await, 1);
    assert_eq!(
        found(OURS, "team_id=00000000-0000-0000-0000-00000000000b").await,
        1
    );
    assert_eq!(
        found(OURS, "team_id=00000000-0000-0000-0000-00000000000c").await,
        0
    );
    assert_eq!(found(THEIRS, "").await, 0);
    // A longer range reads its history as one piece, and finds the same.
    let long = "start_date=2026-03-05T00:00:00Z&end_date=2026-04-01T00:00:00Z";
    let answer = ask(&world, OURS, long).await;
    assert_eq!(answer["data"][0], data[0]);
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_hour_that_is_not_complete_is_not_judged() {
    let world = World::with(&facts()).await;
    let sink = world.database.pool(database::Role::Sink).await;
    for (watermark, found) in [("2026-03-31T10:59:59Z", 0), ("2026-03-31T11:00:00Z", 1)] {
        say(&sink, &[(0, watermark), (1, watermark)]).await;
        let answer = ask(&world, OURS, RANGE).await;
        assert_eq!(
            answer["data"].as_array().unwrap().len(),
            found,
            "{watermark}"
        );
    }
    let token = world.token(OURS, Role::Viewer);
    let path = format!(
        "{}?start_date=2026-01-01T00:00:00Z&threshold=x",
        crate::anomalies::PATH
    );
    let response = world.send(&path, Some(&token)).await;
    assert_eq!(response.status(), 400);
    assert_eq!(body(response).await["errors"].as_array().unwrap().len(), 2);
}
