//! The right numbers, of the right organization.

use schemas::{
    event::Status,
    rollup::SeriesKind::{Agent, Command, Metric, Session},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{
    Fact, OURS, THEIRS, World, body, execution, fact, id, interaction, metric, say, session,
};
use platform::auth::Role;

const RANGE: &str = "start_date=2026-03-01T00:00:00Z&end_date=2026-03-02T00:00:00Z";
const DAY: &str =
    "start_date=2026-03-01T00:00:00Z&end_date=2026-03-02T00:00:00Z&aggregation_window=1h";
const TEN: &str = "2026-03-01T10:20:00Z";
const ELEVEN: &str = "2026-03-01T11:00:00Z";

fn facts() -> Vec<(Uuid, Fact)> {
    let (ann, bob, red) = (id(1), id(2), id(11));
    let facts = [
        fact(TEN, Command, "build", execution(Status::Success, 100)).by(ann, red),
        fact(TEN, Command, "build", execution(Status::Error, 300)).by(bob, None),
        fact(TEN, Command, "test", execution(Status::Timeout, 12))
            .by(ann, red)
            .in_project(id(21)),
        fact(TEN, Command, "test", execution(Status::Cancelled, 8)).by(ann, None),
        fact(ELEVEN, Command, "build", execution(Status::Success, 7)).by(ann, red),
        fact(
            TEN,
            Agent,
            "coder",
            interaction(Status::Success, 1000, (10, 20), "0.000000000001"),
        )
        .by(ann, red)
        .of_model("small"),
        fact(
            TEN,
            Agent,
            "coder",
            interaction(Status::Error, 3000, (1, 2), "0.2"),
        )
        .by(bob, None)
        .of_model("large"),
        fact(TEN, Metric, "error_rate", metric(0.1)).by(ann, red),
        fact(TEN, Metric, "error_rate", metric(0.2)),
        fact(TEN, Metric, "commands_per_hour", metric(40.0)).by(bob, None),
        fact(TEN, Metric, "productivity_score", metric(70.0)).by(bob, None),
        fact(TEN, Session, "started", session(None, None, 0)).by(ann, red),
        fact(TEN, Session, "started", session(None, None, 0)).by(bob, None),
        fact(TEN, Session, "updated", session(None, None, 0)).by(ann, red),
        fact(TEN, Session, "ended", session(Some(30), Some(80.5), 12)).by(ann, red),
        fact(TEN, Session, "ended", session(Some(90), None, 3)).by(ann, red),
        fact(TEN, Session, "ended", session(None, None, 0)).by(bob, None),
    ];
    // The other organization has the same users and much larger numbers.
    let others = [
        fact(TEN, Command, "build", execution(Status::Success, 99_999)).by(ann, red),
        fact(TEN, Session, "ended", session(Some(999), Some(1.0), 999)).by(ann, red),
    ];
    facts
        .into_iter()
        .map(|fact| (OURS, fact))
        .chain(others.into_iter().map(|fact| (THEIRS, fact)))
        .collect()
}

/// What is told of each row: the given members.
fn told(rows: &[Value], pointers: &[&str]) -> Value {
    let row = |row: &Value| -> Value {
        let members = pointers.iter().map(|p| row.pointer(p).cloned());
        members
            .map(|member| member.unwrap_or(json!("absent")))
            .collect()
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn a_row_holds_everything_of_its_bucket() {
    let world = World::with(&facts()).await;
    let (status, answer) = world.ask(OURS, DAY).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["window"], "1h");
    assert_eq!(answer["group_by"], "none");
    assert_eq!(answer["start_date"], "2026-03-01T00:00:00Z");
    assert_eq!(answer["end_date"], "2026-03-02T00:00:00Z");
    assert_eq!(answer["next_cursor"], Value::Null);
    assert_eq!(answer["watermark"], Value::Null);
    assert!(answer["query_time_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    let mut row = answer["data"][0].clone();
    for (kind, quantile, exact) in [
        ("commands", "p50", 12.0),
        ("commands", "p95", 300.0),
        ("commands", "p99", 300.0),
        ("agents", "p50", 1000.0),
        ("agents", "p95", 3000.0),
        ("agents", "p99", 3000.0),
        ("sessions", "p50", 30.0),
        ("sessions", "p95", 90.0),
        ("sessions", "p99", 90.0),
    ] {
        let times = match kind {
            "sessions" => "duration_minutes",
            _ => "execution_time_ms",
        };
        let times = row[kind][times].as_object_mut().unwrap();
        let found = times.remove(quantile).unwrap().as_f64().unwrap();
        assert!(
            (found - exact).abs() <= 0.045 * exact,
            "{kind} {quantile} {found}"
        );
    }
    assert_eq!(
        row,
        json!({
            "bucket_start": "2026-03-01T10:00:00Z",
            "window": "1h",
            "complete": false,
            "commands": {
                "count": 4, "success": 1, "error": 1, "timeout": 1, "cancelled": 1,
                "error_rate": 0.25,
                "execution_time_ms": {"sum": 420, "min": 8, "max": 300, "mean": 105.0},
            },
            "agents": {
                "count": 2, "success": 1, "error": 1, "timeout": 0, "cancelled": 0,
                "error_rate": 0.5,
                "execution_time_ms": {"sum": 4000, "min": 1000, "max": 3000, "mean": 2000.0},
                "input_tokens": 11, "output_tokens": 22, "cost_usd": "0.200000000001",
            },
            "metrics": {
                "count": 4, "value": null,
                "productivity_score": {
                    "count": 1, "sum": 70.0, "min": 70.0, "max": 70.0, "mean": 70.0,
                },
            },
            "sessions": {
                "started": 2, "updated": 1, "ended": 3,
                "duration_minutes": {
                    "count": 2, "sum": 120.0, "min": 30.0, "max": 90.0, "mean": 60.0,
                },
                "productivity_score": {
                    "count": 1, "sum": 80.5, "min": 80.5, "max": 80.5, "mean": 80.5,
                },
                "commands_executed": 15,
            },
        })
    );
    let second = &answer["data"][1];
    assert_eq!(second["bucket_start"], "2026-03-01T11:00:00Z");
    assert_eq!(second["agents"]["execution_time_ms"], Value::Null);
    assert_eq!(second["agents"]["error_rate"], Value::Null);
    assert_eq!(second["agents"]["cost_usd"], "0");
}

#[tokio::test]
async fn every_grouping_has_the_right_groups_in_order() {
    let world = World::with(&facts()).await;
    let (ann, bob, red) = (id(1), id(2), id(11));
    let counts = [
        "/commands/count",
        "/agents/count",
        "/metrics/count",
        "/sessions/ended",
    ];
    for (query, key, expected) in [
        (
            "group_by=user",
            "/user_id",
            json!([
                [ann, 3, 1, 1, 2],
                [bob, 1, 1, 2, 1],
                [null, 0, 0, 1, 0],
                [ann, 1, 0, 0, 0]
            ]),
        ),
        (
            "group_by=team",
            "/team_id",
            json!([[red, 2, 1, 1, 2], [null, 2, 1, 3, 1], [red, 1, 0, 0, 0]]),
        ),
        (
            "group_by=command",
            "/command_name",
            json!([
                ["build", 2, "absent", "absent", "absent"],
                ["test", 2, "absent", "absent", "absent"],
                ["build", 1, "absent", "absent", "absent"]
            ]),
        ),
        (
            "group_by=agent",
            "/agent_name",
            json!([["coder", "absent", 2, "absent", "absent"]]),
        ),
        (
            "group_by=metric_type",
            "/metric_type",
            json!([
                ["commands_per_hour", "absent", "absent", 1, "absent"],
                ["error_rate", "absent", "absent", 2, "absent"],
                ["productivity_score", "absent", "absent", 1, "absent"]
            ]),
        ),
        (
            "group_by=none",
            "/user_id",
            json!([["absent", 4, 2, 4, 3], ["absent", 1, 0, 0, 0]]),
        ),
        (
            "group_by=project",
            "/project_id",
            json!([[id(21), 1, 0, 0, 0], [null, 3, 2, 4, 3], [null, 1, 0, 0, 0]]),
        ),
        (
            "group_by=model",
            "/model",
            json!([
                ["large", "absent", 1, "absent", "absent"],
                ["small", "absent", 1, "absent", "absent"]
            ]),
        ),
        // Filters, each with the scope it needs.
        (
            "group_by=user&team_id=00000000-0000-0000-0000-00000000000b",
            "/user_id",
            json!([[ann, 2, 1, 1, 2], [ann, 1, 0, 0, 0]]),
        ),
        (
            "group_by=team&user_id=00000000-0000-0000-0000-000000000001",
            "/team_id",
            json!([[red, 2, 1, 1, 2], [null, 1, 0, 0, 0], [red, 1, 0, 0, 0]]),
        ),
        (
            "group_by=command&project_id=00000000-0000-0000-0000-000000000015",
            "/command_name",
            json!([["test", 1, "absent", "absent", "absent"]]),
        ),
        (
            "metric_types=commands_per_hour",
            "/user_id",
            json!([["absent", 4, 2, 1, 3], ["absent", 1, 0, 0, 0]]),
        ),
        // Of commands and agents; the rest counts all the same.
        (
            "command_name=test&agent_name=nobody",
            "/user_id",
            json!([["absent", 2, 0, 4, 3]]),
        ),
        (
            "group_by=team&model=small",
            "/team_id",
            json!([[red, 2, 1, 1, 2], [null, 2, 0, 3, 1], [red, 1, 0, 0, 0]]),
        ),
        (
            "group_by=agent&model=small&agent_name=coder",
            "/agent_name",
            json!([["coder", "absent", 1, "absent", "absent"]]),
        ),
        (
            "group_by=metric_type&metric_types=error_rate,unheard.of",
            "/metric_type",
            json!([["error_rate", "absent", "absent", 2, "absent"]]),
        ),
    ] {
        let rows = world.rows(OURS, &format!("{DAY}&{query}")).await;
        let pointers = [key, counts[0], counts[1], counts[2], counts[3]];
        assert_eq!(told(&rows, &pointers), expected, "{query}");
    }
}

#[tokio::test]
async fn values_of_one_metric_type_add_up_exactly() {
    let world = World::with(&facts()).await;
    for query in ["group_by=metric_type", "metric_types=error_rate"] {
        let rows = world.rows(OURS, &format!("{DAY}&{query}")).await;
        let row = rows
            .iter()
            .rfind(|row| row["metrics"]["count"] == 2)
            .unwrap();
        // 0.1 + 0.2 as floating-point numbers would be 0.30000000000000004.
        assert_eq!(
            row["metrics"]["value"],
            json!({"count": 2, "sum": 0.3, "min": 0.1, "max": 0.2, "mean": 0.15}),
            "{query}"
        );
    }
}

#[tokio::test]
async fn every_window_holds_every_event_once() {
    let world = World::with(&facts()).await;
    for (window, buckets) in [("1m", 2), ("5m", 2), ("15m", 2), ("1h", 2), ("1d", 1)] {
        let query = format!("{RANGE}&aggregation_window={window}");
        let rows = world.rows(OURS, &query).await;
        let count = |row: &Value| row["commands"]["count"].as_u64().unwrap();
        assert_eq!(rows.len(), buckets, "{window}");
        assert_eq!(rows.iter().map(count).sum::<u64>(), 5, "{window}");
        assert!(rows.iter().all(|row| row["window"] == window));
    }
}

#[tokio::test]
async fn a_range_begins_with_the_bucket_of_its_start_and_ends_before_its_end() {
    let world = World::with(&facts()).await;
    for (start, end, expected) in [
        ("10:59:59", "11:00:00", vec!["10"]),
        ("10:59:59", "11:00:01", vec!["10", "11"]),
        ("11:00:00", "12:00:00", vec!["11"]),
        ("09:00:00", "10:00:00", vec![]),
    ] {
        let query = format!(
            "start_date=2026-03-01T{start}Z&end_date=2026-03-01T{end}Z&aggregation_window=1h"
        );
        let rows = world.rows(OURS, &query).await;
        let hours: Vec<&str> = rows
            .iter()
            .map(|row| &row["bucket_start"].as_str().unwrap()[11..13])
            .collect();
        assert_eq!(hours, expected, "{query}");
    }
}

#[tokio::test]
async fn organizations_with_the_same_users_never_see_each_other() {
    let world = World::with(&facts()).await;
    let ann = "user_id=00000000-0000-0000-0000-000000000001";
    let sums = [
        "/commands/execution_time_ms/sum",
        "/sessions/commands_executed",
    ];
    for (organization, expected) in [
        (OURS, json!([[120, 15], [7, 0]])),
        (THEIRS, json!([[99_999, 999]])),
        (Uuid::from_u128(0xc), json!([])),
    ] {
        let rows = world.rows(organization, &format!("{DAY}&{ann}")).await;
        assert_eq!(told(&rows, &sums), expected);
    }
    // A cursor of theirs only says where to go on in ours.
    let first = format!("{DAY}&group_by=user&limit=1");
    let (_, page) = world.ask(OURS, &first).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rows = world
        .rows(THEIRS, &format!("{first}&cursor={cursor}"))
        .await;
    assert_eq!(rows, Vec::<Value>::new());
}

#[tokio::test]
async fn without_parameters_the_last_day_is_meant_and_every_role_may_ask() {
    let recent = chrono::Utc::now() - chrono::Duration::hours(2);
    let recent = fact(
        &recent.to_rfc3339(),
        Command,
        "build",
        execution(Status::Success, 1),
    );
    let mut old = recent.clone();
    old.at = old.at.saturating_add_seconds(-3 * 86_400);
    let world = World::with(&[(OURS, recent), (OURS, old)]).await;
    for role in Role::ALL {
        let token = world.token(OURS, role);
        let response = world.send(crate::aggregated::PATH, Some(&token)).await;
        assert_eq!(response.status(), 200);
        let answer = body(response).await;
        assert_eq!(
            told(answer["data"].as_array().unwrap(), &["/commands/count"]),
            json!([[1]])
        );
    }
}

#[tokio::test]
async fn a_bucket_is_complete_when_every_source_is_read_beyond_its_end() {
    let world = World::with(&facts()).await;
    let sink = world.database.pool(platform::database::Role::Sink).await;
    let complete = async || {
        let (status, answer) = world.ask(OURS, DAY).await;
        assert_eq!(status, 200, "{answer}");
        let rows = answer["data"].as_array().unwrap();
        (
            answer["watermark"].clone(),
            told(rows, &["/bucket_start", "/complete"]),
        )
    };
    let first = "2026-03-01T10:00:00Z";
    let (_, rows) = complete().await;
    let second = rows[1][0].clone();
    // One source has not said anything.
    say(&sink, &[(0, "2026-03-09T00:00:00Z")]).await;
    let none = json!([[first, false], [second, false]]);
    assert_eq!(complete().await, (Value::Null, none.clone()));
    say(&sink, &[(1, "2026-03-01T10:59:00Z")]).await;
    assert_eq!(complete().await, (json!("2026-03-01T10:59:00Z"), none));
    say(&sink, &[(1, "2026-03-01T11:00:00Z")]).await;
    let (watermark, rows) = complete().await;
    assert_eq!(watermark, json!("2026-03-01T11:00:00Z"));
    assert_eq!(rows, json!([[first, true], [second, false]]));
}
