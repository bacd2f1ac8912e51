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

use super::world::{Fact, at};
use crate::dashboard::Query;

/// Those of an organization's that the query means, from one instant to another.
pub(super) fn within<'a>(
    facts: &'a [Fact],
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
    facts.iter().filter(meant).collect()
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
    let mut groups = groups(facts, key);
    groups.truncate(20);
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
