//! What the raw rows say, by plain SQL that knows nothing of rollups.

use std::collections::BTreeMap;

use schemas::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::question::Question;

/// Bucket, whether there is no key, and the key: rows sort by them.
type Place = (i64, bool, String);
/// Figures by kind.
type Figures = Map<String, Value>;

/// The rows that a question should be answered with.
pub(super) struct Expected {
    pub(super) rows: Vec<Value>,
}

/// A bucket's start and end, and the start of the one it is compared with.
struct Bucket {
    start: i64,
    end: i64,
    previous: i64,
}

impl Expected {
    /// No event from before the watermark is expected any more.
    pub(super) async fn of(owner: &PgPool, question: &Question, watermark: Timestamp) -> Self {
        let buckets = buckets(owner, question).await;
        let (first, last) = (&buckets[0], &buckets[buckets.len() - 1]);
        let from = if question.compare {
            first.previous
        } else {
            first.start
        };
        let groups = groups(owner, question, (from, last.end)).await;

        let mut rows = Vec::new();
        for bucket in &buckets {
            let places =
                (bucket.start, false, String::new())..(bucket.start + 1, false, String::new());
            let mut keys: Vec<_> = groups
                .range(places)
                .map(|((_, none, key), figures)| ((*none, key.clone()), Some(figures)))
                .collect();
            if question.fill && keys.is_empty() {
                keys.push(((true, String::new()), None));
            }
            for ((none, key), figures) in keys {
                let mut row = shape(question, bucket.start, figures);
                row["window"] = json!(question.expected_window().as_str());
                row["complete"] = json!(bucket.end <= watermark.micros());
                if let Some((member, _)) = key_of(question.group_by) {
                    row[member] = if none { Value::Null } else { json!(key) };
                }
                if question.compare {
                    let place = (bucket.previous, none, key);
                    let before = groups.get(&place);
                    let told = before.map(|b| shape(question, bucket.previous, Some(b)));
                    row["previous"] = json!(told);
                }
                rows.push(row);
            }
        }
        Self { rows }
    }

    /// # Panics
    /// With the first difference.
    pub(super) fn check(&self, found: &[Value]) {
        for (expected, found) in self.rows.iter().zip(found) {
            same(expected, found, &format!("{}", expected["bucket_start"]));
        }
        assert_eq!(found.len(), self.rows.len(), "rows");
    }
}

/// All numbers alike but quantiles, which may be estimates.
fn same(expected: &Value, found: &Value, at: &str) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let names = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            let (mut these, mut those) = (names(expected), names(found));
            these.sort_unstable();
            those.sort_unstable();
            assert_eq!(those, these, "{at}");
            for (name, value) in expected {
                same(value, &found[name], &format!("{at}/{name}"));
            }
        }
        (Value::Number(expected), Value::Number(found)) => {
            let (expected, found) = (expected.as_f64().unwrap(), found.as_f64().unwrap());
            let bound = match at.rsplit('/').next() {
                Some("p50" | "p95" | "p99") => 0.045 * expected.abs(),
                _ => 0.0,
            };
            assert!(
                (found - expected).abs() <= bound,
                "{at}: {found}, not {expected}"
            );
        }
        _ => assert_eq!(found, expected, "{at}"),
    }
}

fn instant(micros: i64) -> String {
    Timestamp::from_micros(micros).unwrap().to_string()
}

/// The member and the column of a grouping.
fn key_of(group_by: &str) -> Option<(&'static str, &'static str)> {
    Some(match group_by {
        "user" => ("user_id", "user_id"),
        "team" => ("team_id", "team_id"),
        "project" => ("project_id", "project_id"),
        "command" => ("command_name", "command_name"),
        "agent" => ("agent_name", "agent_name"),
        "model" => ("model", "model"),
        "metric_type" => ("metric_type", "metric_type"),
        _ => return None,
    })
}

macro_rules! executions {
    () => {
        "'count', count(*), \
         'success', count(*) filter (where status = 'success'), \
         'error', count(*) filter (where status = 'error'), \
         'timeout', count(*) filter (where status = 'timeout'), \
         'cancelled', count(*) filter (where status = 'cancelled'), \
         'error_rate', count(*) filter (where status = 'error')::float8 / count(*), \
         'execution_time_ms', jsonb_build_object( \
             'sum', sum(time), 'min', min(time), 'max', max(time), \
             'mean', sum(time)::float8 / count(*), \
             'p50', percentile_disc(0.5) within group (order by time), \
             'p95', percentile_disc(0.95) within group (order by time), \
             'p99', percentile_disc(0.99) within group (order by time))"
    };
}

macro_rules! values {
    ($value:literal) => {
        concat!(
            "case when count(",
            $value,
            ") > 0 then jsonb_build_object(",
            "'count', count(",
            $value,
            "), 'sum', sum(",
            $value,
            "), 'min', min(",
            $value,
            "), ",
            "'max', max(",
            $value,
            "), 'mean', sum(",
            $value,
            ")::float8 / count(",
            $value,
            ")) end"
        )
    };
}

/// What SQL makes of the events of one kind.
struct Kind {
    name: &'static str,
    table: &'static str,
    /// Of one event.
    columns: &'static str,
    /// Of many.
    figures: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "commands",
        table: "command_executions",
        columns: "status, execution_time_ms as time",
        figures: executions!(),
    },
    Kind {
        name: "agents",
        table: "agent_interactions",
        columns: "status, execution_time_ms as time, input_tokens, output_tokens, cost_usd",
        figures: INTERACTIONS,
    },
    Kind {
        name: "metrics",
        table: "productivity_metrics",
        columns: "metric_value::numeric as value, \
            case when metric_type = 'productivity_score' then metric_value::numeric end as score",
        figures: METRICS,
    },
    // A session came to what its end says; it was as long as that says, or else from start to end.
    Kind {
        name: "sessions",
        table: "user_sessions",
        columns: "kind, commands_executed, \
            case when kind = 'ended' then productivity_score end as score, \
            case when kind = 'ended' then coalesce(round(duration_minutes * 60000), \
                floor(extract(epoch from session_end - session_start) * 1000)::float8) end as millis",
        figures: SESSIONS,
    },
];

fn holds(group_by: &str, kind: &str) -> bool {
    match group_by {
        "command" => kind == "commands",
        "agent" | "model" => kind == "agents",
        "metric_type" => kind == "metrics",
        _ => true,
    }
}

/// A row's figures, those of kinds without events included.
fn shape(question: &Question, start: i64, figures: Option<&Figures>) -> Value {
    let mut row = json!({ "bucket_start": instant(start) });
    for Kind { name, .. } in KINDS {
        if holds(question.group_by, name) {
            let known = figures.and_then(|figures| figures.get(name));
            row[name] = known.cloned().unwrap_or_else(|| nothing(name));
        }
    }
    row
}

fn nothing(kind: &str) -> Value {
    let executions = json!({
        "count": 0, "success": 0, "error": 0, "timeout": 0, "cancelled": 0,
        "error_rate": null, "execution_time_ms": null,
    });
    match kind {
        "commands" => executions,
        "agents" => {
            let mut agents = executions;
            agents["input_tokens"] = json!(0);
            agents["output_tokens"] = json!(0);
            agents["cost_usd"] = json!("0");
            agents
        }
        "metrics" => json!({"count": 0, "value": null, "productivity_score": null}),
        _ => json!({
            "started": 0, "updated": 0, "ended": 0, "duration_minutes": null,
            "productivity_score": null, "commands_executed": 0,
        }),
    }
}

/// A bucket's start as SQL says it.
fn bucket_of(question: &Question, column: &str) -> String {
    let seconds = question.expected_window().seconds();
    match question.days_of() {
        Some(zone) => format!("date_trunc('day', {column}, '{zone}')"),
        None => format!("date_bin('{seconds} seconds', {column}, 'epoch'::timestamptz)"),
    }
}

fn micros(expression: &str) -> String {
    format!("(extract(epoch from {expression}) * 1000000)::bigint")
}

async fn buckets(owner: &PgPool, question: &Question) -> Vec<Bucket> {
    let first = bucket_of(question, "$1::timestamptz");
    let seconds = question.expected_window().seconds();
    let series = match question.days_of() {
        Some(zone) => format!(
            "select d::timestamp at time zone '{zone}' as b, \
                 (d + interval '1 day')::timestamp at time zone '{zone}' as e, \
                 (d - count(*) over () * interval '1 day')::timestamp at time zone '{zone}' as p \
             from generate_series(($1::timestamptz at time zone '{zone}')::date::timestamp, \
                 ($2::timestamptz - interval '1 microsecond') at time zone '{zone}', \
                 interval '1 day') as d"
        ),
        None => format!(
            "select d as b, d + interval '{seconds} seconds' as e, \
                 d - count(*) over () * interval '{seconds} seconds' as p \
             from generate_series({first}, $2::timestamptz - interval '1 microsecond', \
                 interval '{seconds} seconds') as d"
        ),
    };
    let sql = format!(
        "select {}, {}, {} from ({series}) as s order by b",
        micros("b"),
        micros("e"),
        micros("p")
    );
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(chrono::DateTime::<chrono::Utc>::from(question.start))
        .bind(chrono::DateTime::<chrono::Utc>::from(question.end))
        .fetch_all(owner)
        .await
        .unwrap();
    let bucket = |(start, end, previous)| Bucket {
        start,
        end,
        previous,
    };
    rows.into_iter().map(bucket).collect()
}

/// All groups of the buckets from one start on and before another.
async fn groups(
    owner: &PgPool,
    question: &Question,
    (from, to): (i64, i64),
) -> BTreeMap<Place, Figures> {
    let mut groups: BTreeMap<Place, Figures> = BTreeMap::new();
    for kind in KINDS {
        let Kind {
            name,
            table,
            columns,
            figures,
        } = kind;
        if !holds(question.group_by, name) {
            continue;
        }
        let key = key_of(question.group_by).map_or("null", |(_, column)| column);
        let sql = format!(
            "with events as (select {bucket} as b, {key}::text as key, {columns} \
                 from flowmeter.{table} where organization_id = $1{conditions}) \
             select {micros}, key, jsonb_build_object({figures})::text from events \
             where b >= $2::text::timestamptz and b < $3::text::timestamptz group by b, key",
            bucket = bucket_of(question, "\"timestamp\""),
            conditions = conditions(question, name),
            micros = micros("b"),
        );
        let rows: Vec<(i64, Option<String>, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(question.organization)
            .bind(instant(from))
            .bind(instant(to))
            .fetch_all(owner)
            .await
            .unwrap();
        for (bucket, key, figures) in rows {
            let place = (bucket, key.is_none(), key.unwrap_or_default());
            let mut figures: Value = serde_json::from_str(&figures).unwrap();
            if name == "metrics" && !adds_values(question) {
                figures["value"] = Value::Null;
            }
            groups
                .entry(place)
                .or_default()
                .insert(name.to_owned(), figures);
        }
    }
    groups
}

/// Values of several types of metrics do not add up.
fn adds_values(question: &Question) -> bool {
    let one = |list: &[String]| list.len() == 1;
    question.group_by == "metric_type" || question.list("metric_types").is_some_and(one)
}

fn conditions(question: &Question, kind: &str) -> String {
    let mut sql = String::new();
    for (list, column, of) in [
        ("user_ids", "user_id::text", None),
        ("team_ids", "team_id::text", None),
        ("project_ids", "project_id::text", None),
        ("command_names", "command_name", Some("commands")),
        ("agent_names", "agent_name", Some("agents")),
        ("models", "model", Some("agents")),
        ("metric_types", "metric_type", Some("metrics")),
    ] {
        if let Some(values) = question
            .list(list)
            .filter(|_| of.is_none_or(|of| of == kind))
        {
            let quoted: Vec<_> = values.iter().map(|value| format!("'{value}'")).collect();
            sql += &format!(" and {column} in ({})", quoted.join(", "));
        }
    }
    sql
}

const INTERACTIONS: &str = concat!(
    executions!(),
    ", 'input_tokens', coalesce(sum(input_tokens), 0), \
     'output_tokens', coalesce(sum(output_tokens), 0), \
     'cost_usd', trim_scale(coalesce(sum(cost_usd), 0))::text"
);

const METRICS: &str = concat!(
    "'count', count(*), 'value', ",
    values!("value"),
    ", 'productivity_score', ",
    values!("score"),
);

const SESSIONS: &str = concat!(
    "'started', count(*) filter (where kind = 'started'), \
     'updated', count(*) filter (where kind = 'updated'), \
     'ended', count(*) filter (where kind = 'ended'), \
     'commands_executed', coalesce(sum(commands_executed) filter (where kind = 'ended'), 0), \
     'duration_minutes', case when count(millis) > 0 then jsonb_build_object( \
         'count', count(millis), 'sum', sum(millis) / 60000, \
         'min', min(millis) / 60000, 'max', max(millis) / 60000, \
         'mean', sum(millis) / 60000 / count(millis), \
         'p50', percentile_disc(0.5) within group (order by millis) / 60000, \
         'p95', percentile_disc(0.95) within group (order by millis) / 60000, \
         'p99', percentile_disc(0.99) within group (order by millis) / 60000) end, \
     'productivity_score', ",
    values!("score"),
);
