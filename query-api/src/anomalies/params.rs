//! The query string of `/anomalies`.

use std::sync::Arc;

use schemas::{Fault, Timestamp, Window};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    aggregated::group::Filter,
    params::Params,
    rollups::{Measure, Piece},
};

/// The parameters' names.
pub(crate) const NAMES: [&str; 5] = ["start_date", "end_date", "measure", "team_id", "threshold"];
/// What a value's z must exceed when nobody says: Iglewicz and Hoaglin's.
const DEFAULT_THRESHOLD: f64 = 3.5;
/// The most that may be asked for.
const MAX_THRESHOLD: f64 = 1000.0;
/// The longest range.
const MAX_RANGE_SECONDS: i64 = 31 * 86_400;
const DAY_SECONDS: i64 = 86_400;
/// The most anomalies in an answer.
const MOST: usize = 500;
/// How many weeks before an hour are its history.
pub(crate) const WEEKS: i64 = 8;
pub(crate) const WEEK_SECONDS: i64 = 7 * 86_400;

/// What is asked for, once nothing is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    /// Hours count that start at or after the start of the hour holding `start`, and before
    /// `end`.
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// The range's ends as far as they were given.
    pub(crate) given: [Option<Timestamp>; 2],
    /// Only this one; if none, all.
    pub(crate) measure: Option<Measure>,
    /// A team, a user, or both; no more.
    pub(crate) filter: Filter,
    /// Above zero.
    pub(crate) threshold: f64,
    /// The most anomalies that are told.
    pub(crate) limit: usize,
}

impl Query {
    /// All measures in the day before `now`.
    pub(crate) fn last_day(now: Timestamp, filter: Filter, limit: usize) -> Self {
        Self {
            start: now.saturating_add_seconds(-DAY_SECONDS),
            end: now,
            given: [None; 2],
            measure: None,
            filter,
            threshold: DEFAULT_THRESHOLD,
            limit,
        }
    }

    /// Reads the decoded pairs of a query string.
    ///
    /// # Errors
    /// All faults together, each at the parameter's name.
    pub(crate) fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, Vec<Fault>> {
        let mut params = Params::new(pairs, &NAMES);
        let given_start = params.optional::<Timestamp>("start_date", "format");
        let given_end = params.optional::<Timestamp>("end_date", "format");
        let end = given_end.unwrap_or(now);
        let start = given_start.unwrap_or(end.saturating_add_seconds(-DAY_SECONDS));
        let measure = params.optional::<Measure>("measure", "enum");
        let filter = Filter {
            team_ids: params.id("team_id").map(|id| vec![id]),
            ..Filter::default()
        };
        let threshold = threshold(&mut params);
        check_range(&mut params, given_start, start, end);
        params.faults.or_value(Self {
            start,
            end,
            given: [given_start, given_end],
            measure,
            filter,
            threshold,
            limit: MOST,
        })
    }

    /// The same for the same answer. Of a range that ends now by default, only its hours count:
    /// so an answer that is kept says a slightly earlier end, and judged the same.
    pub(crate) fn canonical(&self) -> Arc<str> {
        let begun = Timestamp::from_micros(self.end.micros() - 1).unwrap_or(self.end);
        let (first, last) = (Window::H1.start(self.start), Window::H1.start(begun));
        let Self {
            given,
            measure,
            filter,
            threshold,
            limit,
            ..
        } = self;
        format!("{first} {last} {given:?} {measure:?} {filter:?} {threshold} {limit}").into()
    }

    /// The measures that are judged.
    pub(crate) fn measures(&self) -> impl Iterator<Item = Measure> {
        let only = self.measure;
        let all = Measure::ALL.into_iter();
        all.filter(move |measure| only.is_none_or(|only| only == *measure))
    }

    /// The hours, and the same ones of the weeks that are their history, newest first. Of a
    /// range longer than a week, histories overlap: it is one piece.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let first = Window::H1.start(self.start);
        let week = |ago: i64, at: Timestamp| at.saturating_add_seconds(-ago * WEEK_SECONDS);
        let piece = |oldest: i64, newest: i64| Piece {
            window: Window::H1,
            from: week(oldest, first),
            to: week(newest, self.end),
        };
        if week(1, self.end) >= first {
            return vec![piece(WEEKS, 0)];
        }
        (0..=WEEKS).map(|ago| piece(ago, ago)).collect()
    }
}

fn threshold(params: &mut Params<'_>) -> f64 {
    let Some(text) = params.get("threshold") else {
        return DEFAULT_THRESHOLD;
    };
    match text.parse::<f64>() {
        Ok(threshold) if threshold > 0.0 && threshold <= MAX_THRESHOLD => threshold,
        _ => {
            let message = format!("must be a number above 0 and up to {MAX_THRESHOLD}");
            params.fault("threshold", "range", message);
            DEFAULT_THRESHOLD
        }
    }
}

/// Said of the parameter that was given, and not of a range whose ends are faulty already.
fn check_range(
    params: &mut Params<'_>,
    given_start: Option<Timestamp>,
    start: Timestamp,
    end: Timestamp,
) {
    if params.faults.is_at("/start_date") || params.faults.is_at("/end_date") {
        return;
    }
    if start >= end {
        match given_start {
            Some(_) => params.fault("start_date", "range", "must be before end_date"),
            None => params.fault("end_date", "range", "leaves no time before it"),
        }
    } else if end > start.saturating_add_seconds(MAX_RANGE_SECONDS) {
        let message = "must be at most 31 days before end_date";
        params.fault("start_date", "range", message);
    }
}

/// The parameters of `/anomalies`. Each may be given once; others are refused.
#[expect(dead_code, reason = "describes what `Query::parse` reads")]
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AnomaliesParams {
    /// Start of the range, RFC 3339; by default 24 hours before its end, and at most 31 days.
    /// The first hour is the one that holds it.
    #[param(format = DateTime, required = false)]
    start_date: String,
    /// End of the range, RFC 3339, after its start; by default now. Hours that start before it
    /// count, as far as they are complete.
    #[param(format = DateTime, required = false)]
    end_date: String,
    /// Only this measure; by default all.
    #[param(inline, required = false)]
    measure: Measure,
    /// Only this team's events.
    #[param(required = false)]
    team_id: Uuid,
    /// What `z` must exceed, upwards or downwards: above 0, up to 1000.
    #[param(default = 3.5, required = false)]
    threshold: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Query, Vec<Fault>> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Query::parse(&owned, "2026-03-31T12:34:56Z".parse().unwrap())
    }

    fn faults(pairs: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let faults = parse(pairs).unwrap_err();
        faults.iter().map(|f| (f.pointer.clone(), f.code)).collect()
    }

    #[test]
    fn nothing_asks_for_all_of_the_last_day() {
        let query = parse(&[]).unwrap();
        assert_eq!(query.start.to_string(), "2026-03-30T12:34:56Z");
        assert_eq!(query.end.to_string(), "2026-03-31T12:34:56Z");
        assert_eq!((query.threshold, query.limit), (3.5, 500));
        assert_eq!(query.measures().count(), 6);
        let one = parse(&[("measure", "agents"), ("threshold", "0.5")]).unwrap();
        assert_eq!(one.measures().collect::<Vec<_>>(), [Measure::Agents]);
        assert_eq!(one.threshold, 0.5);
    }

    #[test]
    fn every_fault_is_said_at_once_and_ranges_are_bounded() {
        let found = faults(&[
            ("start_date", "soon"),
            ("measure", "colour"),
            ("team_id", "red"),
            ("threshold", "0"),
            ("user_id", "x"),
        ]);
        let expected = [
            ("/user_id", "unknown_parameter"),
            ("/start_date", "format"),
            ("/measure", "enum"),
            ("/team_id", "format"),
            ("/threshold", "range"),
        ];
        assert_eq!(found, expected.map(|(at, code)| (at.to_owned(), code)));
        for threshold in ["-1", "NaN", "inf", "1001", ""] {
            assert_eq!(
                faults(&[("threshold", threshold)]),
                [("/threshold".to_owned(), "range")]
            );
        }
        let end = ("end_date", "2026-03-31T00:00:00Z");
        assert!(parse(&[("start_date", "2026-02-28T00:00:00Z"), end]).is_ok());
        for start in ["2026-02-27T23:59:59Z", "2026-03-31T00:00:00Z"] {
            assert_eq!(
                faults(&[("start_date", start), end]),
                [("/start_date".to_owned(), "range")]
            );
        }
    }

    #[test]
    fn a_week_or_less_is_read_with_its_history_and_nothing_between() {
        let pieces = parse(&[]).unwrap().pieces();
        assert_eq!(pieces.len(), 9);
        let told = |p: &Piece| format!("{} {} {}", p.window, p.from, p.to);
        assert_eq!(
            told(&pieces[0]),
            "1h 2026-03-30T12:00:00Z 2026-03-31T12:34:56Z"
        );
        assert_eq!(
            told(&pieces[8]),
            "1h 2026-02-02T12:00:00Z 2026-02-03T12:34:56Z"
        );
        let long = parse(&[("start_date", "2026-03-20T00:00:00Z")]).unwrap();
        let pieces: Vec<_> = long.pieces().iter().map(told).collect();
        assert_eq!(pieces, ["1h 2026-01-23T00:00:00Z 2026-03-31T12:34:56Z"]);
    }

    #[test]
    fn every_parameter_and_choice_is_described() {
        let api = serde_json::to_value(crate::openapi()).unwrap();
        let call = &api["paths"][crate::anomalies::PATH]["get"];
        let parameters = call["parameters"].as_array().unwrap();
        let names: Vec<_> = parameters.iter().map(|p| p["name"].clone()).collect();
        assert_eq!(names, NAMES);
        assert!(parameters.iter().all(|p| p["description"].is_string()));
        let choices = &parameters[2]["schema"]["enum"];
        let measures = Measure::ALL.map(Measure::as_str);
        assert_eq!(choices, &serde_json::to_value(measures).unwrap());
        for status in ["400", "401", "429", "500", "503", "504"] {
            assert!(call["responses"][status].is_object(), "{status}");
        }
    }
}
