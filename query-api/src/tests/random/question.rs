//! A query as it can be asked, in either way.

use std::fmt::Write;

use axum::{body::Body, http::Request};
use rand::{Rng, RngExt, seq::IndexedRandom};
use schemas::{Timestamp, Window};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    events::{self, seconds, some_organization},
    made::{self, AGENTS, COMMANDS, METRICS, MODELS, PROJECTS, TEAMS, USERS},
};
use crate::{
    aggregated::{PATH, QUERY_PATH},
    tests::raw::escaped,
};

/// On either side of UTC, by hours, halves and quarters, with and without a change of clocks,
/// at midnight and elsewhere.
const ZONES: [&str; 12] = [
    "Europe/Berlin",
    "Europe/London",
    "Asia/Beirut",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "UTC",
];

/// More buckets than this would be nothing but more of the same.
const MOST_BUCKETS: i64 = 1000;
const YEAR_SECONDS: i64 = 365 * 86_400;

#[derive(Debug)]
pub(super) struct Question {
    pub(super) organization: Uuid,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) window: Option<Window>,
    pub(super) zone: Option<&'static str>,
    pub(super) group_by: &'static str,
    pub(super) fill: bool,
    pub(super) compare: bool,
    /// Values by the name of their list; no list is empty.
    pub(super) filters: Vec<(&'static str, Vec<String>)>,
}

impl Question {
    pub(super) fn random(random: &mut impl Rng) -> Self {
        let group_by = *[
            "none",
            "user",
            "team",
            "project",
            "command",
            "agent",
            "model",
            "metric_type",
        ]
        .choose(random)
        .unwrap();
        let zone = ZONES.choose(random).copied();
        let zone = zone.filter(|_| random.random_bool(0.4));
        let local = zone.is_some_and(|zone| zone != "UTC");
        let window = match local {
            true => Some(Window::D1),
            false => Window::ALL.choose(random).copied(),
        };
        let window = window.filter(|_| random.random_bool(0.7));
        let bucket = window.map_or(3600, Window::seconds);
        let longest = (bucket * MOST_BUCKETS).min(YEAR_SECONDS);
        let length = seconds(random, 4 * bucket, longest);
        let (start, end) = events::range(random, length);
        // Also one that ends where something else does.
        let other = events::instant(random);
        let fits = start < other && other < start.saturating_add_seconds(longest);
        let end = if fits { other } else { end };
        Self {
            organization: some_organization(random, start),
            start,
            end,
            window,
            zone,
            group_by,
            fill: group_by == "none" && random.random_bool(0.5),
            compare: random.random_bool(0.4),
            filters: filters(group_by, random),
        }
    }

    /// Whether buckets are days of a time zone, and of which.
    pub(super) fn days_of(&self) -> Option<&'static str> {
        self.zone.filter(|zone| *zone != "UTC")
    }

    /// The window that was asked for or has to be chosen.
    pub(super) fn expected_window(&self) -> Window {
        if self.days_of().is_some() {
            return Window::D1;
        }
        let fits = |window: &Window| {
            let micros = self.end.micros() - window.start(self.start).micros();
            micros <= 200 * window.seconds() * 1_000_000
        };
        let chosen = || Window::ALL.into_iter().find(fits).unwrap_or(Window::D1);
        self.window.unwrap_or_else(chosen)
    }

    pub(super) fn list(&self, name: &str) -> Option<&[String]> {
        let found = self.filters.iter().find(|(list, _)| *list == name);
        found.map(|(_, values)| values.as_slice())
    }

    /// As a query string where that can be, or else as a body.
    pub(super) fn request(
        &self,
        limit: usize,
        cursor: Option<&str>,
        random: &mut impl Rng,
    ) -> Request<Body> {
        if self.is_plain() && random.random_bool(0.5) {
            let uri = self.query_string(limit, cursor);
            return Request::get(uri).body(Body::empty()).unwrap();
        }
        Request::post(QUERY_PATH)
            .header("content-type", "application/json")
            .body(Body::from(self.json(limit, cursor).to_string()))
            .unwrap()
    }

    fn query_string(&self, limit: usize, cursor: Option<&str>) -> String {
        let mut uri = format!("{PATH}?limit={limit}");
        push(&mut uri, "start_date", &self.start.to_string());
        push(&mut uri, "end_date", &self.end.to_string());
        if let Some(window) = self.window {
            push(&mut uri, "aggregation_window", window.as_str());
        }
        self.push_group(&mut uri);
        for (name, value) in [("tz", self.zone), ("cursor", cursor)] {
            if let Some(value) = value {
                push(&mut uri, name, value);
            }
        }
        if self.fill {
            push(&mut uri, "fill", "true");
        }
        if self.compare {
            push(&mut uri, "compare", "previous");
        }
        uri
    }

    /// What `/real-time` is asked in the same way: the grouping and the filters.
    pub(super) fn push_group(&self, uri: &mut String) {
        push(uri, "group_by", self.group_by);
        for (name, values) in &self.filters {
            let singular = name.strip_suffix('s').unwrap();
            let name: &str = if *name == "metric_types" {
                name
            } else {
                singular
            };
            push(uri, name, &values.join(","));
        }
    }

    /// Whether a query string can say it.
    pub(super) fn is_plain(&self) -> bool {
        let plain =
            |(name, values): &(&str, Vec<String>)| values.len() == 1 || *name == "metric_types";
        self.filters.iter().all(plain)
    }

    fn json(&self, limit: usize, cursor: Option<&str>) -> Value {
        let filters: serde_json::Map<_, _> = self
            .filters
            .iter()
            .map(|(name, values)| ((*name).to_owned(), json!(values)))
            .collect();
        json!({
            "start_date": self.start.to_string(),
            "end_date": self.end.to_string(),
            "window": self.window.map(Window::as_str),
            "group_by": self.group_by,
            "filters": filters,
            "fill": self.fill,
            "compare": self.compare.then_some("previous"),
            "tz": self.zone,
            "limit": limit,
            "cursor": cursor,
        })
    }
}

fn push(uri: &mut String, name: &str, value: &str) {
    write!(uri, "&{name}={}", escaped(value)).unwrap();
}

/// Some lists that have a meaning with the grouping, some of their values unheard of.
fn filters(group_by: &str, random: &mut impl Rng) -> Vec<(&'static str, Vec<String>)> {
    let ids = |many: u128| (1..=many + 1).map(|n| made::id(n).to_string()).collect();
    let names = |known: &[&'static str], other: &'static str| {
        let names = known.iter().copied().chain([other]);
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let meant: &[&str] = match group_by {
        "command" => &["command_names"],
        "agent" | "model" => &["agent_names", "models"],
        "metric_type" => &["metric_types"],
        _ => &["command_names", "agent_names", "models", "metric_types"],
    };
    let all: [(&str, Vec<String>); 7] = [
        ("user_ids", ids(USERS)),
        ("team_ids", ids(TEAMS)),
        ("project_ids", ids(PROJECTS)),
        ("command_names", names(&COMMANDS, "unheard of")),
        ("agent_names", names(&AGENTS, "unheard of")),
        ("models", names(&MODELS, "unheard of")),
        ("metric_types", names(&METRICS, "unheard.of")),
    ];
    let mut chosen = Vec::new();
    for (name, values) in all {
        let has_meaning = name.ends_with("_ids") || meant.contains(&name);
        if has_meaning && random.random_bool(0.2) {
            let many = if random.random_bool(0.5) { 1 } else { 2 };
            let some = values.sample(random, many).cloned().collect();
            chosen.push((name, some));
        }
    }
    chosen
}
