//! The query string of `/dashboard`, and the range of time that it means.

use std::{fmt, str::FromStr, sync::Arc};

use schemas::{Fault, Timestamp, Window};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    aggregated::group::Filter,
    params::Params,
    rollups::{Piece, cover},
};

/// The parameters' names.
pub(crate) const NAMES: [&str; 3] = ["time_range", "team_id", "user_id"];

/// How far a dashboard reaches back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(default = "1d")]
pub(crate) enum TimeRange {
    #[schema(rename = "1h")]
    Hour,
    #[schema(rename = "1d")]
    Day,
    #[schema(rename = "7d")]
    Week,
    #[schema(rename = "30d")]
    Month,
}

/// Not the name of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of 1h, 1d, 7d, 30d")]
pub(crate) struct UnknownTimeRange;

impl TimeRange {
    /// All, shortest first.
    pub(crate) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The name in requests and answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// The length in seconds.
    pub(crate) const fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 30 * 86_400,
        }
    }

    /// The window of its series: 30 to 168 buckets.
    pub(crate) const fn window(self) -> Window {
        match self {
            Self::Hour => Window::M1,
            Self::Day => Window::M15,
            Self::Week => Window::H1,
            Self::Month => Window::D1,
        }
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TimeRange {
    type Err = UnknownTimeRange;
    fn from_str(text: &str) -> Result<Self, UnknownTimeRange> {
        let found = Self::ALL.into_iter().find(|range| range.as_str() == text);
        found.ok_or(UnknownTimeRange)
    }
}

/// What is asked for, once nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) time_range: TimeRange,
    /// A team, a user, or both; no more.
    pub(crate) filter: Filter,
    pub(crate) now: Timestamp,
}

impl Query {
    /// Reads the decoded pairs of a query string.
    ///
    /// # Errors
    /// All faults together, each at the parameter's name.
    pub(crate) fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, Vec<Fault>> {
        let mut params = Params::new(pairs, &NAMES);
        let time_range = params.optional::<TimeRange>("time_range", "enum");
        let filter = Filter {
            team_ids: params.id("team_id").map(|id| vec![id]),
            user_ids: params.id("user_id").map(|id| vec![id]),
            ..Filter::default()
        };
        params.faults.or_value(Self {
            time_range: time_range.unwrap_or(TimeRange::Day),
            filter,
            now,
        })
    }

    /// The same for the same answer: the range's buckets follow from its end, the hours that are
    /// looked at for anomalies from the last one that has begun.
    pub(crate) fn canonical(&self) -> Arc<str> {
        let (range, end, filter) = (self.time_range, self.end(), &self.filter);
        let begun = Timestamp::from_micros(self.now.micros() - 1).unwrap_or(self.now);
        let (hour, first) = (Window::H1.start(begun), Window::H1.start(self.now));
        format!("{range} {end} {hour} {first} {filter:?}").into()
    }

    /// The end of the series' bucket that holds now: where the range ends.
    pub(crate) fn end(&self) -> Timestamp {
        let window = self.time_range.window();
        window
            .start(self.now)
            .saturating_add_seconds(window.seconds())
    }

    /// Where the range starts, with a bucket of the series.
    pub(crate) fn start(&self) -> Timestamp {
        self.before(self.end())
    }

    /// As long as the range, before an instant.
    fn before(&self, at: Timestamp) -> Timestamp {
        at.saturating_add_seconds(-self.time_range.seconds())
    }

    /// The range as buckets of the series.
    pub(crate) fn series(&self) -> [Piece; 1] {
        [Piece {
            window: self.time_range.window(),
            from: self.start(),
            to: self.end(),
        }]
    }

    /// The range in the longest windows that fit.
    pub(crate) fn current(&self) -> Vec<Piece> {
        self.covered(self.start(), self.end(), Window::D1)
    }

    /// The range before it, of the same length, likewise.
    pub(crate) fn previous(&self) -> Vec<Piece> {
        let start = self.start();
        self.covered(self.before(start), start, Window::D1)
    }

    /// The range in windows of an hour at most.
    pub(crate) fn hours(&self) -> Vec<Piece> {
        self.covered(self.start(), self.end(), Window::H1)
    }

    fn covered(&self, from: Timestamp, to: Timestamp, longest: Window) -> Vec<Piece> {
        let shortest = self.time_range.window().min(longest);
        // Not by every window there is: each piece costs the database more to plan than the
        // few rows it would save.
        let mut windows = vec![Window::D1, Window::H1, shortest];
        windows.retain(|window| (shortest..=longest).contains(window));
        windows.dedup();
        cover(from, to, &windows)
    }
}

/// The parameters of `/dashboard`. Each may be given once; others are refused.
#[expect(dead_code, reason = "describes what `Query::parse` reads")]
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DashboardParams {
    /// How far it reaches back from now.
    #[param(inline, required = false)]
    time_range: TimeRange,
    /// Only this team's events.
    #[param(required = false)]
    team_id: Uuid,
    /// Only this user's events.
    #[param(required = false)]
    user_id: Uuid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Result<Query, Vec<Fault>> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Query::parse(&owned, "2026-03-31T12:34:56Z".parse().unwrap())
    }

    fn told(pieces: &[Piece]) -> Vec<String> {
        let piece = |p: &Piece| format!("{} {} {}", p.window, p.from, p.to);
        pieces.iter().map(piece).collect()
    }

    #[test]
    fn faults_are_said_together() {
        let faults = query(&[("time_range", "2h"), ("team_id", "x"), ("limit", "1")]).unwrap_err();
        let told: Vec<_> = faults
            .iter()
            .map(|f| (f.pointer.as_str(), f.code))
            .collect();
        let expected = [
            ("/limit", "unknown_parameter"),
            ("/time_range", "enum"),
            ("/team_id", "format"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_range_ends_with_the_open_bucket_and_is_as_long_as_its_name_says() {
        assert_eq!(query(&[]).unwrap().time_range, TimeRange::Day);
        for (range, start, end) in [
            ("1h", "2026-03-31T11:35:00Z", "2026-03-31T12:35:00Z"),
            ("1d", "2026-03-30T12:45:00Z", "2026-03-31T12:45:00Z"),
            ("7d", "2026-03-24T13:00:00Z", "2026-03-31T13:00:00Z"),
            ("30d", "2026-03-02T00:00:00Z", "2026-04-01T00:00:00Z"),
        ] {
            let query = query(&[("time_range", range)]).unwrap();
            assert_eq!(query.start().to_string(), start, "{range}");
            assert_eq!(query.end().to_string(), end, "{range}");
        }
    }

    #[test]
    fn what_is_no_series_is_read_in_long_windows() {
        let of = |range: &str| query(&[("time_range", range)]).unwrap();
        assert_eq!(
            told(&of("1h").current()),
            ["1m 2026-03-31T11:35:00Z 2026-03-31T12:35:00Z"]
        );
        assert_eq!(
            told(&of("1d").current()),
            [
                "15m 2026-03-30T12:45:00Z 2026-03-30T13:00:00Z",
                "1h 2026-03-30T13:00:00Z 2026-03-31T12:00:00Z",
                "15m 2026-03-31T12:00:00Z 2026-03-31T12:45:00Z",
            ]
        );
        assert_eq!(
            told(&of("7d").previous()),
            [
                "1h 2026-03-17T13:00:00Z 2026-03-18T00:00:00Z",
                "1d 2026-03-18T00:00:00Z 2026-03-24T00:00:00Z",
                "1h 2026-03-24T00:00:00Z 2026-03-24T13:00:00Z",
            ]
        );
        assert_eq!(
            told(&of("30d").previous()),
            ["1d 2026-01-31T00:00:00Z 2026-03-02T00:00:00Z"]
        );
        assert_eq!(
            told(&of("30d").hours()),
            ["1h 2026-03-02T00:00:00Z 2026-04-01T00:00:00Z"]
        );
    }

    #[test]
    fn every_parameter_and_choice_is_described() {
        let api = serde_json::to_value(crate::openapi()).unwrap();
        let call = &api["paths"][crate::dashboard::PATH]["get"];
        let parameters = call["parameters"].as_array().unwrap();
        let names: Vec<_> = parameters.iter().map(|p| p["name"].clone()).collect();
        assert_eq!(names, NAMES);
        assert!(parameters.iter().all(|p| p["description"].is_string()));
        let choices = &parameters[0]["schema"]["enum"];
        let ranges = TimeRange::ALL.map(TimeRange::as_str);
        assert_eq!(choices, &serde_json::to_value(ranges).unwrap());
        for status in ["400", "401", "429", "500", "503", "504"] {
            assert!(call["responses"][status].is_object(), "{status}");
        }
    }
}
