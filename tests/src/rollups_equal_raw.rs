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
/// Each with its length, as SQL has it.
pub(crate) const WINDOWS: [(&str, &str); 5] = [
    ("1m", "1 minute"),
    ("5m", "5 minutes"),
    ("15m", "15 minutes"),
    ("1h", "1 hour"),
    ("1d", "1 day"),
];

/// A grouping: its name, the field of the answer, the column of the raw row.
type Group = (&'static str, &'static str, &'static str);

const BY_WHO: [Group; 3] = [
    ("none", "", "null::text"),
    ("user", "user_id", "user_id::text"),
    ("team", "team_id", "team_id::text"),
];
const BY_COMMAND: Group = ("command", "command_name", "command_name");
const BY_AGENT: Group = ("agent", "agent_name", "agent_name");
const BY_METRIC_TYPE: Group = ("metric_type", "metric_type", "metric_type");

/// What the rows of an answer say of one kind of events, and the SQL that says it of raw rows.
struct Told {
    /// The kind's name in a row of the answer.
    kind: &'static str,
    groups: Vec<Group>,
    /// What the raw rows are selected from.
    from: &'static str,
    /// Within the kind, and as aggregate expressions.
    exact: Vec<(String, String)>,
    /// What has quantiles within the kind, and the expression of what they are of.
    quantiles: Option<(&'static str, &'static str)>,
}

/// Numbers that are equal, as text, and those that are estimates.
#[derive(Debug, PartialEq)]
struct Numbers {
    exact: Vec<String>,
    quantiles: Option<Vec<f64>>,
}

type Rows = BTreeMap<(String, Option<String>), Numbers>;

fn told() -> [Told; 5] {
    let by_who_and = |group: Group| BY_WHO.into_iter().chain([group]).collect();
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(at, sql): &(&str, &str)| (format!("/{at}"), (*sql).to_owned());
        pairs.iter().map(owned).collect()
    };
    let executions = pairs(&[
        ("count", "count(*)"),
        ("success", "count(*) filter (where status = 'success')"),
        ("error", "count(*) filter (where status = 'error')"),
        ("timeout", "count(*) filter (where status = 'timeout')"),
        ("cancelled", "count(*) filter (where status = 'cancelled')"),
        ("execution_time_ms/sum", "sum(execution_time_ms)"),
        ("execution_time_ms/min", "min(execution_time_ms)"),
        ("execution_time_ms/max", "max(execution_time_ms)"),
    ]);
    let tokens_and_cost = pairs(&[
        ("input_tokens", "sum(input_tokens)"),
        ("output_tokens", "sum(output_tokens)"),
        ("cost_usd", "trim_scale(sum(cost_usd))"),
    ]);
    let times = Some(("/execution_time_ms", "execution_time_ms"));
    let count = pairs(&[("count", "count(*)")]);
    let sessions = pairs(&[
        ("started", "count(*) filter (where kind = 'started')"),
        ("updated", "count(*) filter (where kind = 'updated')"),
        ("ended", "count(*) filter (where kind = 'ended')"),
        (
            "commands_executed",
            "coalesce(sum(commands_executed) filter (where kind = 'ended'), 0)",
        ),
    ]);
    [
        Told {
            kind: "commands",
            groups: by_who_and(BY_COMMAND),
            from: "flowmeter.command_executions",
            exact: executions.clone(),
            quantiles: times,
        },
        Told {
            kind: "agents",
            groups: by_who_and(BY_AGENT),
            from: "flowmeter.agent_interactions",
            exact: [executions, tokens_and_cost].concat(),
            quantiles: times,
        },
        Told {
            kind: "metrics",
            groups: BY_WHO.to_vec(),
            from: "(select *, case when metric_type = 'productivity_score' then metric_value end \
                as score from flowmeter.productivity_metrics) m",
            exact: [count.clone(), figures("productivity_score", "score", "")].concat(),
            quantiles: None,
        },
        Told {
            kind: "metrics",
            groups: vec![BY_METRIC_TYPE],
            from: "flowmeter.productivity_metrics",
            exact: [count, figures("value", "metric_value", "")].concat(),
            quantiles: None,
        },
        Told {
            kind: "sessions",
            groups: BY_WHO.to_vec(),
            from: "(select *, case when kind = 'ended' then productivity_score end as score, \
                case when kind = 'ended' then coalesce(round(duration_minutes * 60000), \
                floor(extract(epoch from session_end - session_start) * 1000)::float8) end as ms \
                from flowmeter.user_sessions) s",
            exact: [
                sessions,
                figures("productivity_score", "score", ""),
                figures("duration_minutes", "ms", " / 60000"),
            ]
            .concat(),
            quantiles: Some(("/duration_minutes", "ms / 60000")),
        },
    ]
}

/// Count, sum, extremes and mean of those that are not null, which are floating-point
/// numbers, each then divided as `scale` says; all null when there are none.
fn figures(at: &str, value: &str, scale: &str) -> Vec<(String, String)> {
    let sum = format!("sum({value}::numeric)::float8{scale}");
    [
        ("count", format!("nullif(count({value}), 0)")),
        ("sum", sum.clone()),
        ("min", format!("min({value}){scale}")),
        ("max", format!("max({value}){scale}")),
        ("mean", format!("{sum} / nullif(count({value}), 0)")),
    ]
    .map(|(name, sql)| (format!("/{at}/{name}"), sql))
    .to_vec()
}

/// As PostgreSQL writes it.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(number) if number.is_u64() => number.to_string(),
        Some(number) => number.as_f64().unwrap().to_string(),
    }
}

fn answered(rows: &[Value], told: &Told, field: &str) -> Rows {
    let mut found = Rows::new();
    for row in rows {
        let kind = &row[told.kind];
        let exact = told.exact.iter().map(|(at, _)| text(kind.pointer(at)));
        let exact: Vec<String> = exact.collect();
        // Something else happened there.
        if exact.iter().all(|number| number == "0" || number == "null") {
            continue;
        }
        let times = told.quantiles.and_then(|(at, _)| kind.pointer(at));
        let quantiles = times.filter(|times| !times.is_null()).map(|times| {
            let quantile = |name| times[name].as_f64().unwrap();
            ["p50", "p95", "p99"].map(quantile).to_vec()
        });
        let bucket: DateTime<Utc> = row["bucket_start"].as_str().unwrap().parse().unwrap();
        let key = (bucket.to_rfc3339(), row[field].as_str().map(str::to_owned));
        let numbers = Numbers { exact, quantiles };
        assert!(found.insert(key, numbers).is_none(), "a group came twice");
    }
    found
}

async fn from_sql(
    pipeline: &Pipeline,
    organization: Uuid,
    told: &Told,
    interval: &str,
    column: &str,
) -> Rows {
    let exact: Vec<String> = told
        .exact
        .iter()
        .map(|(_, sql)| format!("coalesce(({sql})::text, 'null')"))
        .collect();
    let quantiles = told.quantiles.map_or("null".to_owned(), |(_, of)| {
        format!("percentile_disc(array[0.5, 0.95, 0.99]) within group (order by {of})")
    });
    let sql = format!(
        "select date_bin('{interval}', \"timestamp\", 'epoch'::timestamptz) as bucket, \
         {column} as key, array[{exact}] as exact, ({quantiles})::float8[] as quantiles \
         from {from} where organization_id = $1 group by 1, 2",
        exact = exact.join(", "),
        from = told.from,
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(organization)
        .fetch_all(&pipeline.pool)
        .await
        .unwrap();
    rows.into_iter()
        .map(|row| {
            let bucket: DateTime<Utc> = row.get("bucket");
            let quantiles: Option<Vec<Option<f64>>> = row.get("quantiles");
            let numbers = Numbers {
                exact: row.get("exact"),
                quantiles: quantiles.and_then(|q| q.into_iter().collect()),
            };
            ((bucket.to_rfc3339(), row.get("key")), numbers)
        })
        .collect()
}

fn assert_equal(answered: &Rows, raw: &Rows, what: &str) {
    assert!(!raw.is_empty(), "{what}");
    assert_eq!(answered.len(), raw.len(), "{what}");
    for (key, raw) in raw {
        let row = &answered[key];
        assert_eq!(row.exact, raw.exact, "{what} {key:?}");
        assert_eq!(row.quantiles.is_some(), raw.quantiles.is_some(), "{what}");
        let estimates = row.quantiles.iter().flatten();
        for (estimate, exact) in estimates.zip(raw.quantiles.iter().flatten()) {
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
    let all = told();
    let [by_command, by_agent, by_type] = [BY_COMMAND, BY_AGENT, BY_METRIC_TYPE];
    for (window, interval) in WINDOWS {
        for group in BY_WHO.into_iter().chain([by_command, by_agent, by_type]) {
            let (name, field, column) = group;
            // A minute by user is as many rows as there are events.
            if window == "1m" && name == "user" {
                continue;
            }
            let query = format!("{range}&aggregation_window={window}&group_by={name}&limit=10000");
            let rows = client.aggregated(&query).await;
            for told in all.iter().filter(|told| told.groups.contains(&group)) {
                let raw = from_sql(pipeline, organization, told, interval, column).await;
                assert_equal(
                    &answered(&rows, told, field),
                    &raw,
                    &format!("{window} by {name}, {}", told.kind),
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
            .number(
                "select (select count(*) from flowmeter.command_executions) \
                 + (select count(*) from flowmeter.agent_interactions) \
                 + (select count(*) from flowmeter.productivity_metrics) \
                 + (select count(*) from flowmeter.user_sessions)",
            )
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
