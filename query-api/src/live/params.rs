//! The parameters of a live view, read with all their faults at once.

use std::sync::Arc;

use schemas::{Fault, Timestamp, Window};
use uuid::Uuid;

use super::{
    horizon::{buckets_by_default, buckets_held},
    position::Cursor,
};
use crate::{
    aggregated::{
        Query,
        group::{Filter, GroupBy},
    },
    params::Params,
};

/// The parameters of `/live`.
pub(crate) const NAMES: [&str; 11] = [
    "window",
    "buckets",
    "group_by",
    "user_id",
    "team_id",
    "project_id",
    "command_name",
    "agent_name",
    "model",
    "metric_types",
    "cursor",
];

/// The parameters of `/real-time/{window}`, whose window is in the path.
pub(crate) const REAL_TIME_NAMES: [&str; 9] = [
    "buckets",
    "group_by",
    "user_id",
    "team_id",
    "project_id",
    "command_name",
    "agent_name",
    "model",
    "metric_types",
];

/// Those that mean what they mean to `/aggregated`, which reads them.
const SHARED: [&str; 8] = [
    "group_by",
    "user_id",
    "team_id",
    "project_id",
    "command_name",
    "agent_name",
    "model",
    "metric_types",
];

/// The rows that somebody looks at.
#[derive(Debug, Clone)]
pub(crate) struct ViewQuery {
    query: Arc<Query>,
    buckets: i64,
}

impl ViewQuery {
    /// Reads the parameters of `/live`, and up to where the client was told before. A cursor
    /// that is none is as good as one that is too old, and no fault: a gap is said instead.
    ///
    /// # Errors
    /// All faults together.
    pub(crate) fn parse(
        pairs: &[(String, String)],
        now: Timestamp,
    ) -> Result<(Self, Option<Resume>), Vec<Fault>> {
        let mut params = Params::new(pairs, &NAMES);
        let window = params.optional::<Window>("window", "enum");
        let window = window.unwrap_or(Window::M1);
        let default = buckets_by_default(window);
        let view = Self::read(&mut params, window, default, now);
        let resume = params.get("cursor").map(Resume::of);
        let view = params.faults.or_value(view)?;
        Ok((view.ok_or_else(Vec::new)?, resume))
    }

    /// Reads the parameters of `/real-time/{window}`: of the open bucket, unless more are asked
    /// for.
    ///
    /// # Errors
    /// All faults together.
    pub(crate) fn parse_once(
        window: &str,
        pairs: &[(String, String)],
        now: Timestamp,
    ) -> Result<Self, Vec<Fault>> {
        let mut params = Params::new(pairs, &REAL_TIME_NAMES);
        let window = window.parse::<Window>().unwrap_or_else(|error| {
            params.fault("window", "enum", error.to_string());
            Window::M1
        });
        let view = Self::read(&mut params, window, 1, now);
        params.faults.or_value(view)?.ok_or_else(Vec::new)
    }

    /// `None` when there are faults.
    fn read(params: &mut Params<'_>, window: Window, default: i64, now: Timestamp) -> Option<Self> {
        let most = usize::try_from(buckets_held(window)).unwrap_or(1);
        let default = usize::try_from(default).unwrap_or(1);
        let buckets = params.whole_number("buckets", 1..=most, default);
        let given = SHARED
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), params.get(name)?.to_owned())));
        let mut shared: Vec<_> = given.collect();
        shared.push(("aggregation_window".to_owned(), window.to_string()));
        match Query::parse(&shared, &Window::ALL, now) {
            Ok(query) => Some(Self {
                query: Arc::new(query),
                buckets: i64::try_from(buckets).unwrap_or(1),
            }),
            Err(faults) => {
                params.faults.extend(faults);
                None
            }
        }
    }

    pub(crate) fn window(&self) -> Window {
        self.query.buckets.window()
    }

    pub(crate) fn group_by(&self) -> GroupBy {
        self.query.group_by
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.query.filter
    }

    /// How many of the newest.
    pub(crate) fn buckets(&self) -> i64 {
        self.buckets
    }

    /// What its rows are made with.
    pub(crate) fn rows(&self) -> &Query {
        &self.query
    }

    /// Equal for equal views of the same organization, and for no others.
    pub(crate) fn id(&self, organization_id: Uuid) -> Uuid {
        const NAMESPACE: Uuid = Uuid::from_u128(0x1d0e_6b0c_3f5a_4f2e_8a57_55b1_7a0c_94e3);
        let (window, group_by) = (self.window(), self.group_by());
        let (filter, buckets) = (self.filter(), self.buckets);
        let text = format!("{organization_id} {window} {group_by} {buckets} {filter:?}");
        Uuid::new_v5(&NAMESPACE, text.as_bytes())
    }
}

/// What a client brings that was told something before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resume(Option<Cursor>);

impl Resume {
    pub(crate) fn of(text: &str) -> Self {
        Self(Cursor::decode(text))
    }

    /// `None` if it cannot be read.
    pub(crate) fn cursor(self) -> Option<Cursor> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:34:56Z".parse().unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn nothing_asks_for_the_last_hour_by_minutes() {
        let (view, resume) = ViewQuery::parse(&[], now()).unwrap();
        assert_eq!((view.window(), view.buckets()), (Window::M1, 60));
        assert_eq!((view.group_by(), resume), (GroupBy::None, None));
        let once = ViewQuery::parse_once("1h", &[], now()).unwrap();
        assert_eq!((once.window(), once.buckets()), (Window::H1, 1));
    }

    #[test]
    fn every_fault_is_said_at_once_under_its_own_name() {
        let given = pairs(&[
            ("window", "2h"),
            ("buckets", "0"),
            ("group_by", "colour"),
            ("user_id", "me"),
            ("start_date", "2026-03-01T00:00:00Z"),
        ]);
        let faults = ViewQuery::parse(&given, now()).unwrap_err();
        let found: Vec<_> = faults
            .iter()
            .map(|f| (f.pointer.as_str(), f.code))
            .collect();
        let expected = [
            ("/start_date", "unknown_parameter"),
            ("/window", "enum"),
            ("/buckets", "range"),
            ("/user_id", "format"),
            ("/group_by", "enum"),
        ];
        assert_eq!(found, expected);
        let faults = ViewQuery::parse_once("2h", &pairs(&[("cursor", "")]), now()).unwrap_err();
        let found: Vec<_> = faults.iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(found, ["/cursor", "/window"]);
    }

    #[test]
    fn no_more_buckets_than_are_held() {
        for window in Window::ALL {
            let most = buckets_held(window);
            for (buckets, good) in [(most, true), (most + 1, false)] {
                let buckets = buckets.to_string();
                let given = pairs(&[("window", window.as_str()), ("buckets", &buckets)]);
                assert_eq!(
                    ViewQuery::parse(&given, now()).is_ok(),
                    good,
                    "{window} {buckets}"
                );
            }
        }
    }

    #[test]
    fn a_view_is_known_by_what_it_shows_and_to_whom() {
        let parse = |given: &[(&str, &str)]| ViewQuery::parse(&pairs(given), now()).unwrap().0;
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let view = parse(&[("window", "1m"), ("buckets", "60")]);
        assert_eq!(parse(&[("cursor", "x")]).id(ours), view.id(ours));
        assert_ne!(view.id(theirs), view.id(ours));
        let user = "00000000-0000-0000-0000-000000000001";
        for other in [
            ("buckets", "5"),
            ("group_by", "user"),
            ("user_id", user),
            ("team_id", user),
        ] {
            assert_ne!(parse(&[other]).id(ours), view.id(ours), "{other:?}");
        }
    }
}
