//! What events come to when they are simply counted, one by one; and comparing answers with it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use chrono::{DateTime, Datelike, Timelike, Utc};
use schemas::{
    Timestamp, Usd,
    event::Status,
    rollup::SeriesKind::{self, Agent, Command, Metric, Session},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Fact, OURS, at};
use crate::dashboard::Query;

/// Those of them that the query means, from one instant to another.
pub(super) fn within<'a>(
    facts: &'a [(Uuid, Fact)],
    query: &Query,
    from: Timestamp,
    to: Timestamp,
) -> Vec<&'a Fact> {
    let filter = &query.filter;
    let is_one = |ids: &Option<Vec<Uuid>>, id: Option<Uuid>| {
        let ids = ids.as_ref();
        ids.is_none_or(|ids| id.is_some_and(|id| ids.contains(&id)))
    };
    let meant = |fact: &&Fact| {
        (from..to).contains(&fact.at)
            && is_one(&filter.user_ids, fact.series.user_id)
            && is_one(&filter.team_ids, fact.series.team_id)
    };
    let ours = facts
        .iter()
        .filter(|(organization, _)| *organization == OURS);
    ours.map(|(_, fact)| fact).filter(meant).collect()
}

pub(super) fn of_kind<'a>(facts: &[&'a Fact], kind: SeriesKind) -> Vec<&'a Fact> {
    facts
        .iter()
        .copied()
        .filter(|fact| fact.series.kind == kind)
        .collect()
}

fn millis(facts: &[&Fact]) -> Vec<u64> {
    let times = facts
        .iter()
        .filter_map(|fact| fact.rollup.execution_time.as_ref());
    let mut times: Vec<u64> = times.map(|time| time.sum).collect();
    times.sort_unstable();
    times
}

fn rate(part: usize, count: usize) -> Value {
    if count == 0 {
        Value::Null
    } else {
        json!(part as f64 / count as f64)
    }
}

fn with_status(facts: &[&Fact], status: Status) -> usize {
    facts
        .iter()
        .filter(|fact| fact.rollup.with_status(status) == 1)
        .count()
}

/// Takes the quantiles out of a distribution after a look at each, and compares the rest.
fn check_times(found: &mut Value, times: &[u64], unit: f64, with_count: bool) {
    if times.is_empty() {
        assert_eq!(*found, Value::Null);
        return;
    }
    for (name, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        let rank = ((q * times.len() as f64).ceil() as usize).max(1);
        let exact = times[rank - 1] as f64 / unit;
        let quantile = found
            .as_object_mut()
            .unwrap()
            .remove(name)
            .unwrap()
            .as_f64()
            .unwrap();
        assert!(
            (quantile - exact).abs() <= 0.045 * exact,
            "{name} {quantile} of {times:?}"
        );
    }
    let sum: u64 = times.iter().sum();
    let number = |millis: u64| match with_count {
        true => json!(millis as f64 / unit),
        false => json!(millis),
    };
    let mut expected = json!({
        "sum": number(sum), "min": number(times[0]), "max": number(times[times.len() - 1]),
        "mean": sum as f64 / unit / times.len() as f64,
    });
    if with_count {
        expected["count"] = json!(times.len());
    }
    assert_eq!(*found, expected);
}

/// Compares figures of executions with their events.
fn check_executions(found: &Value, facts: &[&Fact], agents: bool) {
    let mut found = found.clone();
    check_times(&mut found["execution_time_ms"], &millis(facts), 1.0, false);
    found.as_object_mut().unwrap().remove("execution_time_ms");
    let count = |status| with_status(facts, status);
    let mut expected = json!({
        "count": facts.len(), "success": count(Status::Success), "error": count(Status::Error),
        "timeout": count(Status::Timeout), "cancelled": count(Status::Cancelled),
        "error_rate": rate(count(Status::Error), facts.len()),
    });
    if agents {
        add_use(&mut expected, facts);
    }
    assert_eq!(found, expected);
}

fn add_use(expected: &mut Value, facts: &[&Fact]) {
    let sum = |of: fn(&Fact) -> u64| facts.iter().map(|fact| of(fact)).sum::<u64>();
    let cost = facts.iter().map(|fact| fact.rollup.cost.units()).sum();
    expected["input_tokens"] = json!(sum(|fact| fact.rollup.input_tokens));
    expected["output_tokens"] = json!(sum(|fact| fact.rollup.output_tokens));
    expected["cost_usd"] = json!(Usd::from_units(cost).to_string());
}

fn check_scores(found: &Value, facts: &[&Fact]) {
    let values = facts.iter().filter_map(|fact| fact.rollup.values);
    let values: Vec<f64> = values.map(|value| value.min).collect();
    if values.is_empty() {
        assert_eq!(*found, Value::Null);
        return;
    }
    assert_eq!(found["count"], json!(values.len()));
    let sum: f64 = values.iter().sum();
    assert!((found["sum"].as_f64().unwrap() - sum).abs() < 1e-6);
    assert_eq!(
        found["min"],
        json!(values.iter().copied().fold(f64::MAX, f64::min))
    );
    assert_eq!(
        found["max"],
        json!(values.iter().copied().fold(f64::MIN, f64::max))
    );
}

fn check_sessions(found: &Value, facts: &[&Fact]) {
    let of = |name: &str| {
        let named = facts
            .iter()
            .copied()
            .filter(|fact| fact.series.name == name);
        named.collect::<Vec<&Fact>>()
    };
    let ended = of("ended");
    assert_eq!(found["started"], json!(of("started").len()));
    assert_eq!(found["updated"], json!(of("updated").len()));
    assert_eq!(found["ended"], json!(ended.len()));
    let commands: u64 = ended.iter().map(|fact| fact.rollup.commands_executed).sum();
    assert_eq!(found["commands_executed"], json!(commands));
    check_times(
        &mut found["duration_minutes"].clone(),
        &millis(&ended),
        60_000.0,
        true,
    );
    check_scores(&found["productivity_score"], &ended);
}

/// Commands, interactions and sessions of a bucket or a range.
pub(super) fn check_events(found: &Value, facts: &[&Fact]) {
    check_executions(&found["commands"], &of_kind(facts, Command), false);
    check_executions(&found["agents"], &of_kind(facts, Agent), true);
    check_sessions(&found["sessions"], &of_kind(facts, Session));
}

pub(super) fn check_figures(found: &Value, facts: &[&Fact]) {
    check_events(found, facts);
    let distinct = |of: fn(&Fact) -> Option<Uuid>| {
        let ids: BTreeSet<Uuid> = facts.iter().filter_map(|f| of(f)).collect();
        json!(ids.len())
    };
    assert_eq!(found["active_users"], distinct(|fact| fact.series.user_id));
    assert_eq!(found["active_teams"], distinct(|fact| fact.series.team_id));
    let mut scores = of_kind(facts, Metric);
    scores.retain(|fact| fact.series.name == "productivity_score");
    check_scores(&found["productivity_score"], &scores);
}

/// Groups of events by a key, the largest first, of equal ones the first by key.
fn groups<'a, K: Ord + Clone>(facts: &[&'a Fact], key: fn(&Fact) -> K) -> Vec<(K, Vec<&'a Fact>)> {
    let mut groups: BTreeMap<K, Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        groups.entry(key(fact)).or_default().push(fact);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, facts)| Reverse(facts.len()));
    groups
}

pub(super) fn check_names(
    found: &Value,
    name: &str,
    facts: &[&Fact],
    key: fn(&Fact) -> Option<String>,
) {
    let groups = groups(facts, key);
    assert_eq!(found.as_array().unwrap().len(), groups.len());
    for (row, (key, facts)) in found.as_array().unwrap().iter().zip(groups) {
        let mut row = row.clone();
        assert_eq!(
            row.as_object_mut().unwrap().remove(name).unwrap(),
            json!(key)
        );
        check_executions(&row, &facts, name != "command_name");
    }
}

/// Users or teams with any event; those without an id come last among equals.
pub(super) fn check_activity(
    found: &Value,
    name: &str,
    facts: &[&Fact],
    key: fn(&Fact) -> Option<Uuid>,
) {
    let mut groups = groups(facts, key);
    let executions = |facts: &[&Fact]| of_kind(facts, Command).len() + of_kind(facts, Agent).len();
    groups.sort_by_key(|(id, facts)| (Reverse(executions(facts)), id.is_none(), *id));
    let expected: Vec<Value> = groups
        .iter()
        .map(|(id, facts)| {
            let tally = |kind| {
                let facts = of_kind(facts, kind);
                let errors = with_status(&facts, Status::Error);
                let mut tally = json!({
                    "count": facts.len(), "error": errors, "error_rate": rate(errors, facts.len()),
                });
                if kind == Agent {
                    add_use(&mut tally, &facts);
                }
                tally
            };
            json!({name: id, "commands": tally(Command), "agents": tally(Agent)})
        })
        .collect();
    assert_eq!(*found, json!(expected));
}

pub(super) fn check_hours(found: &Value, facts: &[&Fact]) {
    let mut hours: BTreeMap<(u32, u32), [usize; 3]> = BTreeMap::new();
    for fact in facts {
        let at = DateTime::<Utc>::from(fact.at);
        let kind = match fact.series.kind {
            Command => 0,
            Agent => 1,
            Metric | Session => continue,
        };
        let counts = hours
            .entry((at.weekday().number_from_monday(), at.hour()))
            .or_default();
        counts[kind] += 1;
        counts[2] += with_status(&[fact], Status::Error);
    }
    let expected: Vec<Value> = hours
        .into_iter()
        .map(|((weekday, hour), [commands, agents, errors])| {
            json!({"weekday": weekday, "hour": hour, "commands": commands, "agents": agents, "errors": errors})
        })
        .collect();
    assert_eq!(*found, json!(expected));
}

pub(super) fn check_change(overview: &Value) {
    for (name, pointer) in [
        ("commands", "/commands/count"),
        ("error_rate", "/commands/error_rate"),
        ("p95_ms", "/commands/execution_time_ms/p95"),
        ("agents", "/agents/count"),
        ("sessions", "/sessions/started"),
        ("active_users", "/active_users"),
        ("active_teams", "/active_teams"),
        ("productivity_score", "/productivity_score/mean"),
    ] {
        let of = |range: &str| overview[range].pointer(pointer).and_then(Value::as_f64);
        let expected = match (of("current"), of("previous")) {
            (Some(current), Some(previous)) if previous != 0.0 => Some(current / previous - 1.0),
            _ => None,
        };
        let found = overview["change"][name].as_f64();
        let near = found
            .zip(expected)
            .is_some_and(|(a, b)| (a - b).abs() < 1e-9);
        assert!(
            near || (found, expected) == (None, None),
            "{name} {found:?} {expected:?}"
        );
    }
}

/// Slopes by the formula of textbooks, from the answer's own series.
pub(super) fn check_trends(answer: &Value) {
    for (name, pointer) in [
        ("commands", "/commands/count"),
        ("error_rate", "/commands/error_rate"),
        ("p95_ms", "/commands/execution_time_ms/p95"),
        ("agents", "/agents/count"),
    ] {
        let mut trends = answer["trends"].as_array().unwrap().iter();
        let trend = trends.find(|trend| trend["measure"] == name).unwrap();
        let start = at(answer["start_date"].as_str().unwrap()).micros();
        let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for bucket in answer["series"].as_array().unwrap() {
            let value = bucket.pointer(pointer).and_then(Value::as_f64);
            let Some(value) = value.filter(|_| bucket["complete"] == true) else {
                continue;
            };
            let day =
                (at(bucket["bucket_start"].as_str().unwrap()).micros() - start) as f64 / 86_400e6;
            (n, x, y, xx, xy) = (
                n + 1.0,
                x + day,
                y + value,
                xx + day * day,
                xy + day * value,
            );
        }
        assert_eq!(trend["points"].as_f64().unwrap(), n, "{name}");
        let Some(slope) = trend["slope_per_day"].as_f64() else {
            assert!(n < 2.0);
            continue;
        };
        let expected = (n * xy - x * y) / (n * xx - x * x);
        assert!(
            (slope - expected).abs() <= 1e-6 * (1.0 + expected.abs()),
            "{name} {slope} {expected}"
        );
    }
}

/// Values and histories of anomalies, from the events of each of their hours.
pub(super) fn check_anomalies<'a>(found: &Value, of_hour: impl Fn(Timestamp) -> Vec<&'a Fact>) {
    for anomaly in found.as_array().unwrap() {
        let number = |name: &str| anomaly[name].as_f64().unwrap();
        let z = (number("value") - number("median")) / number("scale");
        assert!((number("z") - z).abs() < 1e-9 && z.abs() > 3.5, "{anomaly}");
        let history = anomaly["history"].as_array().unwrap();
        assert!((4..=8).contains(&history.len()), "{anomaly}");
        for hour in history.iter().chain([anomaly]) {
            let facts = of_hour(at(hour["bucket_start"].as_str().unwrap()));
            let agents = of_kind(&facts, Agent);
            let cost: i128 = agents.iter().map(|fact| fact.rollup.cost.units()).sum();
            let tokens = |fact: &&Fact| fact.rollup.input_tokens + fact.rollup.output_tokens;
            let expected = match anomaly["measure"].as_str().unwrap() {
                "commands" => of_kind(&facts, Command).len() as f64,
                "agents" => agents.len() as f64,
                "tokens" => agents.iter().map(tokens).sum::<u64>() as f64,
                "cost_usd" => cost as f64 / 1e12,
                _ => continue,
            };
            assert_eq!(hour["value"].as_f64().unwrap(), expected, "{anomaly}");
        }
    }
}
