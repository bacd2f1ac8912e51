use proptest::prelude::*;
use schemas::{
    Rollup,
    rollup::{ExecutionTime, SeriesKind},
};

use super::{
    super::{params::Query, robust::Basis},
    *,
};
use crate::aggregated::{
    fold::Part,
    group::{Filter, Key},
};

const HOUR: i64 = 3600;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Hours with commands, of which some failed, each of them that long.
fn hours(all: &[(Timestamp, u64, u64, u64)]) -> BTreeMap<Timestamp, Group> {
    let mut hours = BTreeMap::new();
    for (at, count, errors, millis) in all {
        let mut time = Rollup::default();
        for i in 0..*count {
            time.merge(&Rollup {
                count: 1,
                by_status: [u64::from(i >= *errors), u64::from(i < *errors), 0, 0],
                execution_time: Some(ExecutionTime::of(*millis)),
                ..Rollup::default()
            });
        }
        let mut group = Group::empty(*at, Key::All);
        group.add(
            Part::of(SeriesKind::Command.as_str(), "build").unwrap(),
            &time,
        );
        hours.insert(*at, group);
    }
    hours
}

fn weeks_before(at: Timestamp, weeks: i64) -> Timestamp {
    at.saturating_add_seconds(-weeks * WEEK_SECONDS)
}

/// One hour, 10 to 11 on the last of March.
fn query(measure: Measure) -> Query {
    let day = Query::last_day(at("2026-03-31T11:00:00Z"), Filter::default(), 500);
    Query {
        start: at("2026-03-31T10:00:00Z"),
        measure: Some(measure),
        ..day
    }
}

/// Counts of the hour, and of those before it, the newest first.
fn judge(value: u64, past: &[u64], since: i64, measure: Measure) -> Found {
    let hour = at("2026-03-31T10:00:00Z");
    let mut all = vec![(hour, value, 0, 5)];
    for (count, ago) in past.iter().zip(1..) {
        all.push((weeks_before(hour, ago), *count, 0, 5));
    }
    all.retain(|(_, count, ..)| *count > 0);
    let history = History {
        hours: hours(&all),
        since: Some(weeks_before(hour, since)),
    };
    history.judge(&query(measure), Some(Timestamp::MAX))
}

#[test]
fn an_hour_is_told_with_the_numbers_that_led_to_it() {
    let found = judge(
        200,
        &[90, 110, 120, 100, 80, 95, 105, 100],
        9,
        Measure::Commands,
    );
    assert_eq!((found.judged, found.more), (1, false));
    let anomaly = &found.found[0];
    assert_eq!((anomaly.value, anomaly.median), (200.0, 100.0));
    // Deviations 0 0 5 5 10 10 20 20.
    assert_eq!((anomaly.mad, anomaly.mean_ad), (7.5, 8.75));
    assert_eq!((anomaly.scale, anomaly.basis), (7.5 / 0.6745, Basis::Mad));
    assert!(
        (anomaly.z - 0.6745 * 100.0 / 7.5).abs() < 1e-9,
        "{}",
        anomaly.z
    );
    let values: Vec<f64> = anomaly.history.iter().map(|hour| hour.value).collect();
    assert_eq!(values, [100., 105., 95., 80., 100., 120., 110., 90.]);
    assert_eq!(anomaly.history[0].bucket_start, "2026-02-03T10:00:00Z");
    // Downwards too.
    let found = judge(
        0,
        &[90, 110, 120, 100, 80, 95, 105, 100],
        9,
        Measure::Commands,
    );
    assert!(found.found[0].z < -3.5);
}

#[test]
fn counts_that_agree_by_chance_are_not_taken_for_sure() {
    let equal = [100; 8];
    let usual = judge(115, &equal, 9, Measure::Commands);
    assert_eq!((usual.judged, usual.found.len()), (1, 0));
    let found = judge(150, &equal, 9, Measure::Commands).found;
    assert_eq!((found[0].basis, found[0].scale), (Basis::Floor, 10.0));
    assert_eq!((found[0].mad, found[0].z), (0.0, 5.0));
    // One command at night is none; a few are.
    assert_eq!(judge(3, &[0; 8], 9, Measure::Commands).found.len(), 0);
    assert_eq!(judge(4, &[0; 8], 9, Measure::Commands).found.len(), 1);
}

#[test]
fn weeks_without_events_count_from_the_first_event_on() {
    let one = [0, 0, 0, 5];
    let weeks = |since| {
        let found = judge(50, &one, since, Measure::Commands).found;
        found.first().map_or(0, |anomaly| anomaly.history.len())
    };
    assert_eq!(weeks(9), 8);
    assert_eq!(weeks(8), 8);
    assert_eq!(weeks(4), 4);
    // Too few weeks are no history.
    let found = judge(50, &[5, 5, 5], 3, Measure::Commands);
    assert_eq!((found.judged, found.found.len()), (0, 0));
    // Of hours without commands no execution time is known.
    let found = judge(50, &[5, 0, 5, 0, 5, 0, 0, 0], 9, Measure::P95Ms);
    assert_eq!(found.judged, 0);
    let nothing = History {
        hours: BTreeMap::new(),
        since: None,
    };
    let judged = nothing.judge(&query(Measure::Commands), Some(Timestamp::MAX));
    assert_eq!(judged.judged, 0);
}

#[test]
fn a_single_failure_is_no_wave_of_errors() {
    let hour = at("2026-03-31T10:00:00Z");
    let z = |count, errors| {
        let mut all: Vec<_> = (1..=8)
            .map(|ago| (weeks_before(hour, ago), 40, 2, 5))
            .collect();
        all.push((hour, count, errors, 5));
        let history = History {
            hours: hours(&all),
            since: Some(Timestamp::MIN),
        };
        let found = history.judge(&query(Measure::ErrorRate), Some(Timestamp::MAX));
        found.found.first().map(|anomaly| anomaly.z)
    };
    assert_eq!(z(1, 1), None);
    assert_eq!(z(2, 2), None);
    assert_eq!(z(40, 4), None);
    assert!(z(40, 20).unwrap() > 3.5);
}

#[test]
fn execution_times_within_their_accuracy_are_the_same() {
    let hour = at("2026-03-31T10:00:00Z");
    let found = |millis| {
        let mut all: Vec<_> = (1..=8)
            .map(|ago| (weeks_before(hour, ago), 9, 0, 1000))
            .collect();
        all.push((hour, 9, 0, millis));
        let history = History {
            hours: hours(&all),
            since: Some(Timestamp::MIN),
        };
        let found = history
            .judge(&query(Measure::P95Ms), Some(Timestamp::MAX))
            .found;
        found.len()
    };
    assert_eq!((found(1200), found(2000)), (0, 1));
}

#[test]
fn only_complete_hours_of_the_range_are_judged_and_the_newest_told_first() {
    let end = at("2026-03-31T11:30:00Z");
    let start = at("2026-03-31T08:10:00Z");
    let mut all = Vec::new();
    for hour in 0..24 {
        let hour = at("2026-03-31T00:00:00Z").saturating_add_seconds(hour * HOUR);
        all.push((hour, 90, 0, 5));
    }
    let history = History {
        hours: hours(&all),
        since: Some(Timestamp::MIN),
    };
    let judge = |watermark: Option<&str>, limit| {
        let query = Query {
            start,
            end,
            limit,
            ..query(Measure::Commands)
        };
        let found = history.judge(&query, watermark.map(at));
        let hours = found
            .found
            .iter()
            .map(|a| a.bucket_start[11..13].to_owned());
        (hours.collect::<Vec<_>>(), found.judged, found.more)
    };
    let told = |hours: &[&str]| hours.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>();
    let all = told(&["11", "10", "09", "08"]);
    assert_eq!(
        judge(Some("2026-04-01T00:00:00Z"), 9),
        (all.clone(), 4, false)
    );
    assert_eq!(
        judge(Some("2026-03-31T12:00:00Z"), 9),
        (all.clone(), 4, false)
    );
    assert_eq!(
        judge(Some("2026-03-31T11:59:59Z"), 9),
        (all[1..].to_vec(), 3, false)
    );
    assert_eq!(
        judge(Some("2026-03-31T10:00:00Z"), 9),
        (all[2..].to_vec(), 2, false)
    );
    assert_eq!(
        judge(Some("2026-03-31T08:00:00Z"), 9),
        (told(&[]), 0, false)
    );
    assert_eq!(judge(None, 9), (told(&[]), 0, false));
    assert_eq!(
        judge(Some("2026-04-01T00:00:00Z"), 3),
        (all[..3].to_vec(), 4, true)
    );
}

proptest! {
    #[test]
    fn z_is_what_its_numbers_say(value in 0_u64..300, past in prop::collection::vec(0_u64..300, 8)) {
        let hour = at("2026-03-31T10:00:00Z");
        let mut all = vec![(hour, value, 0, 5)];
        all.extend(past.iter().zip(1..).map(|(count, ago)| (weeks_before(hour, ago), *count, 0, 5)));
        all.retain(|(_, count, ..)| *count > 0);
        let history = History { hours: hours(&all), since: Some(Timestamp::MIN) };
        let query = Query { threshold: 1e-9, ..query(Measure::Commands) };
        for found in history.judge(&query, Some(Timestamp::MAX)).found {
            prop_assert_eq!(found.value, value as f64);
            prop_assert!((found.z * found.scale - (found.value - found.median)).abs() < 1e-6);
            prop_assert!(found.scale >= found.median.max(1.0).sqrt() - 1e-9);
            let mut sorted = past.clone();
            sorted.sort_unstable();
            prop_assert_eq!(found.median, (sorted[3] + sorted[4]) as f64 / 2.0);
        }
    }
}
