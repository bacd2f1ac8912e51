//! What `/aggregated` says is what SQL over the raw rows says, to the last event, also when
//! everything was stopped and started in between.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowmeter::load::{self, LoadArgs};
use indicatif::ProgressBar;
use platform::auth::Role;
use platform::lifecycle::Shutdown;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

const EVENTS: u64 = 200_000;
const WINDOWS: [(&str, &str); 5] = [
    ("1m", "1 minute"),
    ("5m", "5 minutes"),
    ("15m", "15 minutes"),
    ("1h", "1 hour"),
    ("1d", "1 day"),
];

/// The numbers of one kind in one row, as text where they are exact.
#[derive(Debug, Clone, PartialEq)]
struct Numbers {
    /// Count, by status, sum, min, max, and for agents tokens and cost.
    exact: Vec<String>,
    quantiles: [f64; 3],
}

type Rows = BTreeMap<(String, Option<String>), Numbers>;

/// A grouping: its name, the field of the answer, the column of the raw row.
const GROUPS: [(&str, &str, &str); 5] = [
    ("none", "", "null::text"),
    ("user", "user_id", "user_id::text"),
    ("team", "team_id", "team_id::text"),
    ("command", "command_name", "command_name"),
    ("agent", "agent_name", "agent_name"),
];

fn answered(rows: &[Value], kind: &str, group: &str) -> Rows {
    let mut found = Rows::new();
    for row in rows {
        let numbers = &row[kind];
        if numbers["count"] == 0 {
            continue;
        }
        let time = &numbers["execution_time_ms"];
        let mut exact: Vec<String> = ["count", "success", "error", "timeout", "cancelled"]
            .map(|name| numbers[name].to_string())
            .to_vec();
        exact.extend(["sum", "min", "max"].map(|name| time[name].to_string()));
        if kind == "agents" {
            exact.extend(["input_tokens", "output_tokens"].map(|name| numbers[name].to_string()));
            exact.push(numbers["cost_usd"].as_str().unwrap().to_owned());
        }
        let quantiles = ["p50", "p95", "p99"].map(|name| time[name].as_f64().unwrap());
        let bucket: DateTime<Utc> = row["bucket_start"].as_str().unwrap().parse().unwrap();
        let key = (bucket.to_rfc3339(), row[group].as_str().map(str::to_owned));
        let numbers = Numbers { exact, quantiles };
        assert!(found.insert(key, numbers).is_none(), "a group came twice");
    }
    found
}

async fn from_sql(
    pipeline: &Pipeline,
    organization: Uuid,
    kind: &str,
    interval: &str,
    column: &str,
) -> Rows {
    let (table, more) = match kind {
        "commands" => ("command_executions", "'' as more"),
        _ => (
            "agent_interactions",
            "sum(input_tokens)::text || ' ' || sum(output_tokens)::text || ' ' || trim_scale(sum(cost_usd))::text as more",
        ),
    };
    let sql = format!(
        "select date_bin('{interval}', \"timestamp\", 'epoch'::timestamptz) as bucket, {column} as key, \
         count(*)::text || ' ' || (count(*) filter (where status = 'success'))::text \
         || ' ' || (count(*) filter (where status = 'error'))::text \
         || ' ' || (count(*) filter (where status = 'timeout'))::text \
         || ' ' || (count(*) filter (where status = 'cancelled'))::text \
         || ' ' || sum(execution_time_ms)::text || ' ' || min(execution_time_ms)::text \
         || ' ' || max(execution_time_ms)::text as exact, {more}, \
         percentile_disc(array[0.5, 0.95, 0.99]) within group (order by execution_time_ms)::float8[] as quantiles \
         from flowmeter.{table} where organization_id = $1 group by 1, 2"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(organization)
        .fetch_all(&pipeline.pool)
        .await
        .unwrap();
    rows.into_iter()
        .map(|row| {
            let bucket: DateTime<Utc> = row.get("bucket");
            let text = format!(
                "{} {}",
                row.get::<String, _>("exact"),
                row.get::<String, _>("more")
            );
            let quantiles: Vec<f64> = row.get("quantiles");
            let numbers = Numbers {
                exact: text.split_whitespace().map(str::to_owned).collect(),
                quantiles: quantiles.try_into().unwrap(),
            };
            ((bucket.to_rfc3339(), row.get("key")), numbers)
        })
        .collect()
}

fn assert_equal(answered: &Rows, raw: &Rows, what: &str) {
    assert_eq!(answered.len(), raw.len(), "{what}");
    for (key, raw) in raw {
        let row = &answered[key];
        assert_eq!(row.exact, raw.exact, "{what} {key:?}");
        for (estimate, exact) in row.quantiles.iter().zip(raw.quantiles) {
            assert!(
                (estimate - exact).abs() <= 0.045 * exact,
                "{what} {key:?}: {estimate} for {exact}"
            );
        }
    }
}

async fn assert_rollups_equal_raw(
    pipeline: &Pipeline,
    client: &Client,
    organization: Uuid,
    range: &str,
) {
    for (window, interval) in WINDOWS {
        for (group, field, column) in GROUPS {
            // A minute by user is as many rows as there are events.
            if window == "1m" && group == "user" {
                continue;
            }
            let query = format!("{range}&aggregation_window={window}&group_by={group}&limit=10000");
            let rows = client.aggregated(&query).await;
            for kind in ["commands", "agents"] {
                if matches!((group, kind), ("command", "agents") | ("agent", "commands")) {
                    continue;
                }
                let raw = from_sql(pipeline, organization, kind, interval, column).await;
                assert_equal(
                    &answered(&rows, kind, field),
                    &raw,
                    &format!("{window} by {group}, {kind}"),
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollups_equal_raw_data_in_every_window_and_scope() {
    let mut pipeline = Pipeline::start().await;
    let organization = Uuid::new_v4();
    let until = Utc::now();
    let args = |client: &Client, pipeline: &Pipeline, seed, events| LoadArgs {
        url: pipeline.base().parse().unwrap(),
        token: Some(client.token.clone()),
        organization: None,
        events,
        seed,
        rate: 0,
        batch: 500,
        concurrency: 8,
        receipts: None,
        users: 200,
        teams: 8,
        hours: 30,
        until: Some(until),
    };
    let hidden = ProgressBar::hidden;
    let client = Client::of(&pipeline, organization, Role::Admin);
    let first = args(&client, &pipeline, 7, EVENTS / 2);
    let sent = load::send(&first, &client.token, &hidden(), &Shutdown::new())
        .await
        .unwrap();
    assert_eq!(sent.accepted, EVENTS / 2, "{sent}");

    // In the middle of the work: what was accepted must survive.
    pipeline.stop().await;
    pipeline.resume().await;

    let client = Client::of(&pipeline, organization, Role::Admin);
    let second = args(&client, &pipeline, 8, EVENTS / 2);
    let sent = load::send(&second, &client.token, &hidden(), &Shutdown::new())
        .await
        .unwrap();
    assert_eq!(sent.accepted, EVENTS / 2, "{sent}");

    let range = format!(
        "start_date={}&end_date={}",
        (until - TimeDelta::hours(31)).format("%FT%TZ"),
        (until + TimeDelta::hours(1)).format("%FT%TZ"),
    );
    eventually("every event is in a rollup", || async {
        let counted: i64 = pipeline
            .number("select coalesce(sum(event_count), 0)::bigint from flowmeter.rollups_1d where scope = 'organization'")
            .await;
        assert!(counted <= EVENTS as i64, "{counted} events counted of {EVENTS}");
        (counted == EVENTS as i64).then_some(())
    })
    .await;
    eventually("every event is a row", || async {
        let rows = pipeline
            .number("select (select count(*) from flowmeter.command_executions) + (select count(*) from flowmeter.agent_interactions)")
            .await;
        (rows == EVENTS as i64).then_some(())
    })
    .await;
    assert_rollups_equal_raw(&pipeline, &client, organization, &range).await;
    assert_eq!(
        pipeline
            .number("select count(*) from flowmeter.dead_letters")
            .await,
        0
    );
    pipeline.stop().await;
}
