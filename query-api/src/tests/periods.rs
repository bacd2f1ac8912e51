//! Buckets without events, the period before, and days of a time zone.

use schemas::{event::Status, rollup::SeriesKind::Command};
use serde_json::{Value, json};

use super::world::{Fact, OURS, World, execution, fact};

/// An execution at each of these times that took as many milliseconds as its place says.
fn executions(times: &[&str]) -> Vec<(uuid::Uuid, Fact)> {
    let one = |(place, at): (usize, &&str)| {
        let took = execution(Status::Success, place as u64 + 1);
        (OURS, fact(at, Command, "build", took))
    };
    times.iter().enumerate().map(one).collect()
}

/// Bucket and count of commands.
fn counts(rows: &[Value]) -> Vec<(&str, u64)> {
    let count = |row: &Value| row["commands"]["count"].as_u64().unwrap();
    rows.iter()
        .map(|row| (row["bucket_start"].as_str().unwrap(), count(row)))
        .collect()
}

#[tokio::test]
async fn every_bucket_has_a_row_on_request() {
    let world = World::with(&executions(&[
        "2026-03-01T01:10:00Z",
        "2026-03-01T03:59:59Z",
    ]))
    .await;
    let query = "start_date=2026-03-01T00:30:00Z&end_date=2026-03-01T04:30:00Z\
                 &aggregation_window=1h&fill=true";
    let rows = world.rows(OURS, query).await;
    let expected = [
        ("2026-03-01T00:00:00Z", 0),
        ("2026-03-01T01:00:00Z", 1),
        ("2026-03-01T02:00:00Z", 0),
        ("2026-03-01T03:00:00Z", 1),
        ("2026-03-01T04:00:00Z", 0),
    ];
    assert_eq!(counts(&rows), expected);
    assert_eq!(rows[0]["commands"]["error_rate"], Value::Null);
    assert_eq!(rows[0]["agents"]["cost_usd"], "0");
    // A page ends wherever it is full, also among empty rows.
    let (_, page) = world.ask(OURS, &format!("{query}&limit=3")).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = world.rows(OURS, &format!("{query}&cursor={cursor}")).await;
    assert_eq!(counts(page["data"].as_array().unwrap()), expected[..3]);
    assert_eq!(counts(&rest), expected[3..]);
    let (_, page) = world.ask(OURS, &format!("{query}&limit=5")).await;
    assert_eq!(page["next_cursor"], Value::Null);
}

#[tokio::test]
async fn rows_tell_what_they_were_in_the_period_before() {
    let world = World::with(&executions(&[
        "2026-03-01T01:10:00Z",
        "2026-03-01T01:20:00Z",
        "2026-03-01T03:10:00Z",
        "2026-03-01T02:10:00Z",
    ]))
    .await;
    let query = "start_date=2026-03-01T02:00:00Z&end_date=2026-03-01T04:00:00Z\
                 &aggregation_window=1h&compare=previous&group_by=command";
    let rows = world.rows(OURS, query).await;
    assert_eq!(
        counts(&rows),
        [("2026-03-01T02:00:00Z", 1), ("2026-03-01T03:00:00Z", 1)]
    );
    // Nothing two hours before the first.
    assert_eq!(rows[0]["previous"], Value::Null);
    let previous = &rows[1]["previous"];
    assert_eq!(previous["bucket_start"], "2026-03-01T01:00:00Z");
    assert_eq!(previous["commands"]["count"], 2);
    assert_eq!(previous["commands"]["execution_time_ms"]["sum"], 3);
    assert_eq!(previous.get("agents"), None);
    let without = world
        .rows(OURS, &query.replace("&compare=previous", ""))
        .await;
    assert_eq!(without[1].get("previous"), None);
}

#[tokio::test]
async fn a_day_of_a_time_zone_is_as_long_as_its_clocks_make_it() {
    // In Berlin, 29 March 2026 began at 23:00 UTC and had 23 hours.
    let world = World::with(&executions(&[
        "2026-03-28T22:59:59Z",
        "2026-03-28T23:00:00Z",
        "2026-03-29T21:59:59Z",
        "2026-03-29T22:00:00Z",
    ]))
    .await;
    let query = "start_date=2026-03-28T12:00:00Z&end_date=2026-03-30T12:00:00Z&tz=Europe/Berlin";
    let (status, answer) = world.ask(OURS, query).await;
    assert_eq!((status, &answer["window"]), (200, &json!("1d")));
    assert_eq!(answer["tz"], "Europe/Berlin");
    assert_eq!(
        counts(answer["data"].as_array().unwrap()),
        [
            ("2026-03-27T23:00:00Z", 1),
            ("2026-03-28T23:00:00Z", 2),
            ("2026-03-29T22:00:00Z", 1)
        ]
    );
    let rows = world
        .rows(OURS, &format!("{query}&fill=true&compare=previous"))
        .await;
    assert_eq!(rows[1]["previous"], Value::Null);
    assert_eq!(rows.len(), 3);
}
