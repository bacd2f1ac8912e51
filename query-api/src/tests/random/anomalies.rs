//! `/anomalies`: median and deviations of every hour and its history, from the events.

use std::collections::{BTreeMap, HashMap};

use platform::auth::Role;
use rand::{RngExt, seq::IndexedRandom};
use schemas::{
    Timestamp,
    event::Status,
    rollup::{ExecutionTime, SeriesKind},
};
use serde_json::{Map, Value, json};

use super::{
    events::{ORGANIZATIONS, range, seconds, some_organization},
    facts::facts,
    made::{TEAMS, id},
    year::Asking,
};
use crate::{
    anomalies::PATH,
    tests::{
        raw::ask,
        world::{Fact, at},
    },
};

const HOUR: i64 = 3_600_000_000;
const WEEK: i64 = 7 * 24 * HOUR;
const MEASURES: [&str; 6] = [
    "commands",
    "error_rate",
    "p95_ms",
    "agents",
    "tokens",
    "cost_usd",
];

/// What the measures are in each hour that has any event.
pub(super) struct Hours {
    /// The commands of an hour, and its measures.
    hours: HashMap<i64, (f64, [Option<f64>; 6])>,
    /// The first hour with any event.
    since: Option<i64>,
}

/// Hours and measures with enough history, and those that stand out, the newest first.
pub(super) struct Judged {
    pub(super) judged: usize,
    pub(super) found_all: Vec<Value>,
}

fn hour_of(at: Timestamp) -> i64 {
    at.micros() - at.micros().rem_euclid(HOUR)
}

fn text(micros: i64) -> String {
    Timestamp::from_micros(micros).unwrap().to_string()
}

impl Hours {
    pub(super) fn of<'a>(facts: impl Iterator<Item = &'a Fact>) -> Self {
        let mut by_hour: BTreeMap<i64, Vec<&Fact>> = BTreeMap::new();
        for fact in facts {
            by_hour.entry(hour_of(fact.at)).or_default().push(fact);
        }
        Self {
            since: by_hour.keys().next().copied(),
            hours: by_hour
                .into_iter()
                .map(|(hour, facts)| (hour, measures(&facts)))
                .collect(),
        }
    }

    /// Where nothing happened counts are zero, but not before anything ever had.
    fn value(&self, hour: i64, measure: usize) -> Option<f64> {
        match self.hours.get(&hour) {
            Some((_, measures)) => measures[measure],
            None if matches!(MEASURES[measure], "error_rate" | "p95_ms") => None,
            None => self.since.filter(|since| hour >= *since).map(|_| 0.0),
        }
    }

    /// Every complete hour of a range, by all measures or one.
    pub(super) fn judge(
        &self,
        (from, to): (Timestamp, Timestamp),
        watermark: Timestamp,
        only: Option<&str>,
        threshold: f64,
    ) -> Judged {
        let mut all = Judged {
            judged: 0,
            found_all: Vec::new(),
        };
        let mut hours: Vec<i64> = (hour_of(from)..to.micros())
            .step_by(HOUR as usize)
            .filter(|hour| hour + HOUR <= watermark.micros())
            .collect();
        hours.reverse();
        for hour in hours {
            for (measure, name) in MEASURES.into_iter().enumerate() {
                if only.is_some_and(|only| only != name) {
                    continue;
                }
                if let Some((z, anomaly)) = self.judge_one(hour, measure) {
                    all.judged += 1;
                    if z.abs() > threshold {
                        all.found_all.push(anomaly());
                    }
                }
            }
        }
        all
    }

    fn judge_one(&self, hour: i64, measure: usize) -> Option<(f64, impl FnOnce() -> Value)> {
        let value = self.value(hour, measure)?;
        let history: Vec<(i64, f64)> = (1..=8)
            .rev()
            .map(|ago| hour - ago * WEEK)
            .filter_map(|hour| Some((hour, self.value(hour, measure)?)))
            .collect();
        if history.len() < 4 {
            return None;
        }
        let middle = median(history.iter().map(|(_, value)| *value).collect());
        let off: Vec<f64> = history
            .iter()
            .map(|(_, value)| (value - middle).abs())
            .collect();
        let mean_ad = off.iter().sum::<f64>() / off.len() as f64;
        let mad = median(off);
        let floor = match MEASURES[measure] {
            "commands" | "agents" => middle.max(1.0).sqrt(),
            "error_rate" => {
                let n = self.hours.get(&hour).map_or(0.0, |(commands, _)| *commands);
                let p = (middle * n + 1.0) / (n + 2.0);
                (p * (1.0 - p) / n.max(1.0)).sqrt()
            }
            _ => 0.09 * middle,
        };
        let (mut scale, mut basis) = match mad > 0.0 {
            true => (mad / 0.6745, "mad"),
            false => (mean_ad * 1.2533, "mean_ad"),
        };
        if scale < floor {
            (scale, basis) = (floor, "floor");
        }
        if scale == 0.0 {
            return None;
        }
        let z = (value - middle) / scale;
        let anomaly = move || {
            let past =
                |(hour, value): (i64, f64)| json!({"bucket_start": text(hour), "value": value});
            json!({
                "bucket_start": text(hour), "window": "1h", "measure": MEASURES[measure],
                "value": value, "median": middle, "mad": mad, "mean_ad": mean_ad,
                "scale": scale, "basis": basis, "z": z,
                "history": history.into_iter().map(past).collect::<Value>(),
            })
        };
        Some((z, anomaly))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    f64::midpoint(values[(n - 1) / 2], values[n / 2])
}

/// How many commands, and the measures in their order.
fn measures(facts: &[&Fact]) -> (f64, [Option<f64>; 6]) {
    let of = |kind: SeriesKind| facts.iter().filter(move |fact| fact.series.kind == kind);
    let commands = of(SeriesKind::Command).count() as f64;
    let failed = of(SeriesKind::Command).filter(|f| f.rollup.with_status(Status::Error) == 1);
    let times =
        of(SeriesKind::Command).map(|fact| fact.rollup.execution_time.as_ref().unwrap().sum);
    let tokens = of(SeriesKind::Agent).map(|f| f.rollup.input_tokens + f.rollup.output_tokens);
    let cost = of(SeriesKind::Agent).map(|fact| fact.rollup.cost.units());
    let known = |value: f64| Some(value).filter(|_| commands > 0.0);
    let measures = [
        Some(commands),
        known(failed.count() as f64 / commands),
        p95(times.collect()),
        Some(of(SeriesKind::Agent).count() as f64),
        Some(tokens.sum::<u64>() as f64),
        Some(cost.sum::<i128>() as f64 / 1e12),
    ];
    (commands, measures)
}

/// As near to the true one as a histogram can tell, from a histogram of the raw times: whether
/// an hour stands out may depend on the last digit.
fn p95(mut times: Vec<u64>) -> Option<f64> {
    times.sort_unstable();
    let (least, most) = (*times.first()?, *times.last()?);
    let mut all = ExecutionTime::of(least).histogram;
    for time in &times[1..] {
        all.add(*time);
    }
    let rank = (0.95 * times.len() as f64).ceil() as usize;
    let (exact, told) = (times[rank - 1] as f64, all.quantile(0.95, least, most)?);
    assert!((told - exact).abs() <= 0.045 * exact, "{told}, not {exact}");
    Some(told)
}

/// Equal but for the rounding of numbers.
pub(super) fn near(expected: &Value, found: &Value, at: &str) {
    match (expected, found) {
        (Value::Array(expected), Value::Array(found)) => {
            for (n, (expected, found)) in expected.iter().zip(found).enumerate() {
                near(expected, found, &format!("{at}/{n}"));
            }
            assert_eq!(found.len(), expected.len(), "{at}");
        }
        (Value::Object(expected), Value::Object(found)) => {
            let names = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(found), names(expected), "{at}");
            for (name, value) in expected {
                near(value, &found[name], &format!("{at}/{name}"));
            }
        }
        (Value::Number(expected), Value::Number(found)) => {
            let (expected, found) = (expected.as_f64().unwrap(), found.as_f64().unwrap());
            let bound = 1e-12 * expected.abs();
            assert!(
                (found - expected).abs() <= bound,
                "{at}: {found}, not {expected}"
            );
        }
        _ => assert_eq!(found, expected, "{at}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_hours_stand_out_as_their_history_of_raw_rows_says() {
    let mut asking = Asking::about("anomalies").await;
    let random = &mut asking.random;
    let mut of = HashMap::new();
    for organization in ORGANIZATIONS {
        let all = facts(&asking.owner, organization).await;
        for team in 0..=TEAMS + 1 {
            let meant = |fact: &&Fact| team == 0 || fact.series.team_id == Some(id(team));
            of.insert((organization, team), Hours::of(all.iter().filter(meant)));
        }
    }
    let nothing = Hours::of([].iter());
    let (mut some, mut anomalies, mut more) = (0, 0, 0);
    for case in 0..asking.cases {
        let length = seconds(random, 5 * 86_400, 31 * 86_400);
        let (start, end) = range(random, length);
        let organization = some_organization(random, start);
        // Often all teams, seldom one that is not known.
        let team = random.random_range(1..=TEAMS + 1);
        let team = if random.random_bool(0.3) { team } else { 0 };
        let only = MEASURES.choose(random).copied();
        let only = only.filter(|_| random.random_bool(0.3));
        // Few leave little out, and more than an answer may tell.
        let threshold = random.random_range(-3.0..1.5_f64).exp();
        let threshold = Some(threshold).filter(|_| random.random_bool(0.7));
        let mut path = format!("{PATH}?start_date={start}&end_date={end}");
        for (name, value) in [
            ("team_id", (team > 0).then(|| id(team).to_string())),
            ("measure", only.map(str::to_owned)),
            ("threshold", threshold.map(|number| number.to_string())),
        ] {
            if let Some(value) = value {
                path += &format!("&{name}={value}");
            }
        }
        println!("case {case}: {organization} {path}");
        let token = asking.world.token(organization, Role::Viewer);
        let (status, answer) = ask(&asking.world, &token, &path).await;
        assert_eq!(status, 200, "{answer}");

        let threshold = threshold.unwrap_or(3.5);
        let hours = of.get(&(organization, team)).unwrap_or(&nothing);
        let Judged {
            judged,
            mut found_all,
        } = hours.judge((start, end), asking.watermark, only, threshold);
        assert_eq!(answer["more"], found_all.len() > 500);
        more += u64::from(found_all.len() > 500);
        found_all.truncate(500);
        some += u64::from(!found_all.is_empty());
        anomalies += found_all.len();
        near(&Value::from(found_all), &answer["data"], "data");
        assert_eq!(answer["judged"], judged);
        assert_eq!(answer["threshold"], threshold);
        let told = |name: &str| at(answer[name].as_str().unwrap());
        assert_eq!((told("start_date"), told("end_date")), (start, end));
        assert_eq!(told("watermark"), asking.watermark);
    }
    println!("{anomalies} anomalies in {some} answers, {more} of them cut");
    assert!(some > asking.cases / 2, "most must find something: {some}");
}
