//! Lists hold what their caller may read, newest first, each row once.

use platform::{auth::Role, database};
use schemas::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::{
    raw::{Caller, KINDS, RANGE, TEXTS, ask, escaped, expected, offsets, pages, store},
    world::World,
};

async fn filled(rows: i32) -> (World, PgPool) {
    let world = World::with(&[]).await;
    let owner = world.database.pool(database::Role::Owner).await;
    store(&owner, 1, rows).await;
    (world, owner)
}

#[tokio::test]
async fn everybody_reads_what_the_permission_table_says() {
    let (world, owner) = filled(300).await;
    for caller in Caller::all() {
        let token = caller.token(&world);
        for (kind, table) in KINDS {
            let path = format!("/api/metrics/{kind}?{RANGE}");
            let rows = pages(&world, &token, &path, 1000).await;
            let all = expected(&owner, table, &caller, "true", "desc").await;
            assert_eq!(offsets(&rows), all, "{caller:?} {kind}");
            assert!(!all.is_empty(), "{caller:?} {kind}");
        }
    }
    // Nobody's rows of a third organization, and nothing without a token.
    let stranger = Caller {
        organization: uuid::Uuid::from_u128(0xc),
        ..Caller::admin()
    };
    let token = stranger.token(&world);
    let (_, page) = ask(&world, &token, &format!("/api/metrics/commands?{RANGE}")).await;
    assert_eq!(page["data"], json!([]));
    let response = world.send("/api/metrics/commands", None).await;
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn every_filter_is_that_of_plain_sql() {
    let (world, owner) = filled(240).await;
    let ids = |column: &str, number: u32| {
        let id = format!("00000000-0000-0000-0000-{number:012}");
        (format!("{column}={id}"), format!("{column} = '{id}'"))
    };
    let texts = |name: &str, column: &str, text: &str| {
        let quoted = text.replace('\'', "''");
        (
            format!("{name}={}", escaped(text)),
            format!("{column} = '{quoted}'"),
        )
    };
    let mut commands = vec![
        ids("user_id", 3),
        ids("team_id", 11),
        ids("project_id", 77),
        texts("status", "status", "timeout"),
    ];
    commands.extend(TEXTS.map(|text| texts("name", "command_name", text)));
    let agents = vec![
        texts("model", "model", "model-1"),
        texts("name", "agent_name", "=1+1"),
        texts("status", "status", "error"),
    ];
    let metrics = vec![texts("name", "metric_type", "metric.1"), ids("user_id", 2)];
    let sessions = vec![
        texts("name", "session_id", "session-3"),
        texts("status", "kind", "ended"),
    ];
    let manager = Caller {
        role: Role::Manager,
        teams: Some(vec![10, 11]),
        ..Caller::admin()
    };
    for (kind, filters) in KINDS.into_iter().zip([commands, agents, metrics, sessions]) {
        // Each by itself, and each with the one before.
        let mut before = (String::new(), "true".to_owned());
        for (query, condition) in filters {
            for caller in [Caller::admin(), manager.clone()] {
                let token = caller.token(&world);
                let (name, table) = kind;
                let alone = format!("/api/metrics/{name}?{RANGE}&{query}");
                let rows = pages(&world, &token, &alone, 100).await;
                let all = expected(&owner, table, &caller, &condition, "desc").await;
                assert_eq!(offsets(&rows), all, "{alone}");
                if !before.0.is_empty() && before.0.split('=').next() != query.split('=').next() {
                    let both = format!("{alone}&{}", before.0);
                    let rows = pages(&world, &token, &both, 100).await;
                    let condition = format!("{condition} and {}", before.1);
                    let all = expected(&owner, table, &caller, &condition, "desc").await;
                    assert_eq!(offsets(&rows), all, "{both}");
                }
            }
            before = (query, condition);
        }
    }
}

#[tokio::test]
async fn an_event_has_all_that_is_stored() {
    let (world, owner) = filled(60).await;
    let caller = Caller::admin();
    let token = caller.token(&world);
    for (kind, table) in KINDS {
        let rows = pages(&world, &token, &format!("/api/metrics/{kind}?{RANGE}"), 50).await;
        for row in &rows {
            let sql = format!(
                "select to_jsonb(t)::text from flowmeter.{table} t where source_offset = $1"
            );
            let stored: String = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(row["source_offset"].as_i64())
                .fetch_one(&owner)
                .await
                .unwrap();
            let stored: Value = serde_json::from_str(&stored).unwrap();
            let (row, stored) = (row.as_object().unwrap(), stored.as_object().unwrap());
            assert_eq!(row.len(), stored.len(), "{kind}");
            for (name, value) in row {
                let stored = &stored[name];
                match name.as_str() {
                    "timestamp" | "received_at" | "session_start" | "session_end" => {
                        let instant = |value: &Value| {
                            value
                                .as_str()
                                .map(|text| text.parse::<Timestamp>().unwrap())
                        };
                        assert_eq!(instant(value), instant(stored), "{kind} {name}");
                    }
                    "cost_usd" => match value.as_str() {
                        Some(cost) => {
                            let cost: f64 = cost.parse().unwrap();
                            let stored = stored.as_f64().unwrap();
                            assert!((cost - stored).abs() < 1e-13, "{cost} {stored}");
                        }
                        None => assert_eq!(stored, &Value::Null),
                    },
                    _ => assert_eq!(as_f64(value), as_f64(stored), "{kind} {name}"),
                }
            }
        }
    }
    let page = format!("/api/metrics/agents?{RANGE}&limit=1000");
    let (_, page) = ask(&world, &token, &page).await;
    let cost = |row: &Value| row["source_offset"] == 41;
    let row = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| cost(row));
    assert_eq!(row.unwrap()["cost_usd"], "0.041000000001");
    assert_eq!(page["start_date"], "2026-03-01T00:00:00Z");
    assert_eq!(page["next_cursor"], Value::Null);
}

/// Numbers of equal value are equal, however they are written.
fn as_f64(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

#[tokio::test]
async fn pages_visit_every_row_once_while_rows_are_stored() {
    let (world, owner) = filled(200).await;
    let caller = Caller::admin();
    let token = caller.token(&world);
    for (kind, table) in KINDS {
        let before = expected(&owner, table, &caller, "source_offset <= 200", "desc").await;
        for limit in [3, 7, 99] {
            let mut seen = Vec::new();
            let mut cursor = String::new();
            let mut more = 1000;
            loop {
                let path = format!("/api/metrics/{kind}?{RANGE}&limit={limit}{cursor}");
                let (status, page) = ask(&world, &token, &path).await;
                assert_eq!(status, 200, "{page}");
                seen.extend(offsets(page["data"].as_array().unwrap()));
                // Some later, some at instants that were read, some at those to come.
                if more < 1040 {
                    store_again(&owner, table, more).await;
                    more += 1;
                }
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let old: Vec<i64> = seen
                .iter()
                .copied()
                .filter(|offset| *offset <= 200)
                .collect();
            assert_eq!(old, before, "{kind} by {limit}");
            let mut distinct = seen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), seen.len(), "{kind} by {limit}");
            let removed = format!("delete from flowmeter.{table} where source_offset >= 1000");
            sqlx::query(AssertSqlSafe(removed))
                .execute(&owner)
                .await
                .unwrap();
        }
    }
}

/// Rows that are there get a copy with another id and offset.
async fn store_again(owner: &PgPool, table: &str, offset: i64) {
    let columns: String = sqlx::query_scalar(
        "select string_agg(quote_ident(column_name), ', ') from information_schema.columns \
         where table_schema = 'flowmeter' and table_name = $1 \
           and column_name not in ('event_id', 'source_offset')",
    )
    .bind(table)
    .fetch_one(owner)
    .await
    .unwrap();
    let sql = format!(
        "insert into flowmeter.{table} (event_id, source_offset, {columns}) \
         select gen_random_uuid(), $1, {columns} from flowmeter.{table} where source_offset = $2"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(offset)
        .bind(1 + offset * 31 % 200)
        .execute(owner)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cursor_of_somebody_else_opens_nothing() {
    let (world, owner) = filled(100).await;
    let path = format!("/api/metrics/commands?{RANGE}&limit=5");
    let (_, page) = ask(&world, &Caller::admin().token(&world), &path).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let viewer = Caller {
        role: Role::Viewer,
        user: 3,
        ..Caller::admin()
    };
    let own = expected(&owner, "command_executions", &viewer, "true", "desc").await;
    let (_, page) = ask(
        &world,
        &viewer.token(&world),
        &format!("{path}&cursor={cursor}"),
    )
    .await;
    let rows = offsets(page["data"].as_array().unwrap());
    assert!(!rows.is_empty() && rows.iter().all(|row| own.contains(row)));
}

#[tokio::test]
async fn sql_in_any_parameter_is_a_value_or_a_fault() {
    let (world, owner) = filled(50).await;
    let token = Caller::admin().token(&world);
    let hostile = [
        "' or true --",
        "\"; drop table x; --",
        "$1, $2 nowhere",
        "1; select pg_sleep(5)",
        "%00",
    ];
    let own =
        "start_date end_date user_id team_id project_id status name model q limit cursor kind";
    for (kind, table) in KINDS {
        for name in own.split(' ') {
            for text in hostile {
                let text = if text == "%00" {
                    text.to_owned()
                } else {
                    escaped(text)
                };
                let others = match name {
                    "start_date" | "end_date" => "",
                    _ => RANGE,
                };
                for path in [
                    format!("/api/metrics/{kind}?{others}&{name}={text}"),
                    format!("/api/metrics/export/ndjson?kind={kind}&{others}&{name}={text}"),
                ] {
                    let (status, _, body) = super::raw::get(&world, &token, &path, &[]).await;
                    let body = String::from_utf8(body).unwrap();
                    // As a name, a model or words it finds nothing.
                    let empty = body.is_empty() || body.contains("\"data\":[]");
                    assert!(
                        status == 400 || (status == 200 && empty),
                        "{path} {status} {body}"
                    );
                }
            }
        }
        let left = expected(&owner, table, &Caller::admin(), "true", "asc").await;
        assert_eq!(left.len(), 40);
    }
}
