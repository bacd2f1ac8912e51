//! What is asked for: the same value, whichever way it was asked.

use std::sync::Arc;

use schemas::{Fault, Faults, Timestamp, Window, rollup::SeriesKind};
use uuid::Uuid;

use super::{
    buckets::{Buckets, fitting},
    cursor::Cursor,
    days::{LocalDays, NoDays, Zone},
    group::{Filter, GroupBy, Key},
};

/// The most rows of a page.
pub(crate) const MAX_LIMIT: usize = 10_000;
/// The rows of a page when nobody says.
pub(crate) const DEFAULT_LIMIT: usize = 1000;
/// How far back the default range reaches.
const DEFAULT_RANGE_SECONDS: i64 = 86_400;

/// What is asked for, once nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) buckets: Buckets,
    pub(crate) group_by: GroupBy,
    /// The range as it was asked for.
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// The range in whole buckets: from the start of the one that holds `start` to the end of
    /// the last that starts before `end`.
    pub(crate) first: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) filter: Filter,
    /// Whether buckets without events have a row, too.
    pub(crate) fill: bool,
    /// Whether rows are compared with those of the period before.
    pub(crate) compare: bool,
    pub(crate) limit: usize,
    /// The last row of the page before.
    pub(crate) after: Option<(Timestamp, Key)>,
    fingerprint: Uuid,
}

impl Query {
    /// Where the rows after this one go on.
    pub(crate) fn cursor_after(&self, bucket_start: Timestamp, key: Key) -> Cursor {
        Cursor {
            fingerprint: self.fingerprint,
            start: self.start,
            end: self.end,
            bucket_start,
            key,
        }
    }

    /// The same for the same answer. Of a range that ends now by default, only its buckets
    /// count: so an answer that is kept says a slightly earlier end, and has the same rows.
    pub(crate) fn canonical(&self) -> Arc<str> {
        let Self {
            fingerprint,
            first,
            until,
            limit,
            after,
            ..
        } = self;
        // The fingerprint holds all that was asked for, a range that was given as it was.
        format!("{fingerprint} {first} {until} {limit} {after:?}").into()
    }

    /// Whether the values of metrics add up: those of different types do not.
    pub(crate) fn adds_values(&self) -> bool {
        let one_type = |types: &Vec<String>| types.len() == 1;
        self.group_by == GroupBy::MetricType
            || self.filter.metric_types.as_ref().is_some_and(one_type)
    }

    /// The bucket that one is compared with: as many before it as the range has.
    pub(crate) fn previous(&self, bucket_start: Timestamp) -> Timestamp {
        let period = self.buckets.count(self.first, self.until);
        self.buckets.shifted(bucket_start, -period)
    }
}

/// What was written, before it is known to make sense together. What is missing was not given,
/// or has a fault.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) window: Option<Window>,
    pub(super) group_by: Option<GroupBy>,
    pub(super) filter: Filter,
    pub(super) fill: bool,
    pub(super) compare: bool,
    pub(super) zone: Option<Zone>,
    pub(super) limit: Option<usize>,
    pub(super) cursor: Option<Cursor>,
}

/// Where the parts of a query are written: JSON pointers for faults.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) start: &'static str,
    pub(super) end: &'static str,
    pub(super) window: &'static str,
    pub(super) command_names: &'static str,
    pub(super) agent_names: &'static str,
    pub(super) models: &'static str,
    pub(super) metric_types: &'static str,
    pub(super) fill: &'static str,
    pub(super) zone: &'static str,
    pub(super) cursor: &'static str,
}

/// Not what `next_cursor` ever was.
pub(super) const NOT_A_CURSOR: &str =
    "is not a cursor of this service: send next_cursor as it was answered";

impl Asked {
    /// The query, with defaults for what was not given. `kept` are the windows that there are
    /// rollups of, `faults` those of its parts.
    ///
    /// # Errors
    /// All faults together.
    pub(super) fn resolve(
        self,
        places: &Places,
        kept: &[Window],
        now: Timestamp,
        mut faults: Faults,
    ) -> Result<Query, Vec<Fault>> {
        let group_by = self.group_by.unwrap_or(GroupBy::None);
        self.check_grouping(group_by, places, &mut faults);
        let (start, end) = self.range(places, now, &mut faults);
        let buckets = self.buckets((start, end), kept, places, &mut faults);
        let fingerprint = self.fingerprint(buckets.window(), group_by);
        if let Some(cursor) = &self.cursor {
            // Of a query with faults it cannot be said whether the cursor belongs to it.
            if faults.is_empty() {
                let found = check_cursor(cursor, fingerprint, group_by, &buckets);
                if let Err((code, message)) = found {
                    faults.push(places.cursor, code, message);
                }
            }
        }
        let first = buckets.start(start);
        let until = buckets.shifted(first, buckets.count(first, end));
        faults.or_value(Query {
            buckets,
            group_by,
            start,
            end,
            first,
            until,
            filter: self.filter,
            fill: self.fill,
            compare: self.compare,
            limit: self.limit.unwrap_or(DEFAULT_LIMIT),
            after: self.cursor.map(|cursor| (cursor.bucket_start, cursor.key)),
            fingerprint,
        })
    }

    /// A condition on events that no row holds would be ignored in silence.
    fn check_grouping(&self, group_by: GroupBy, places: &Places, faults: &mut Faults) {
        let filter = &self.filter;
        for (given, kind, place) in [
            (
                filter.command_names.is_some(),
                SeriesKind::Command,
                places.command_names,
            ),
            (
                filter.agent_names.is_some(),
                SeriesKind::Agent,
                places.agent_names,
            ),
            (filter.models.is_some(), SeriesKind::Agent, places.models),
            (
                filter.metric_types.is_some(),
                SeriesKind::Metric,
                places.metric_types,
            ),
        ] {
            if given && !group_by.holds(kind) {
                let message = format!("has no meaning when rows are grouped by {group_by}");
                faults.push(place, "conflict", message);
            }
        }
        if self.fill && group_by != GroupBy::None {
            faults.push(
                places.fill,
                "conflict",
                "needs group_by=none: which groups there are is only known by their events",
            );
        }
    }

    /// The range, with defaults; a cursor's is that of the first page.
    fn range(
        &self,
        places: &Places,
        now: Timestamp,
        faults: &mut Faults,
    ) -> (Timestamp, Timestamp) {
        if let Some(cursor) = &self.cursor {
            return (cursor.start, cursor.end);
        }
        let end = self.end.unwrap_or(now);
        let day_before = end.saturating_add_seconds(-DEFAULT_RANGE_SECONDS);
        let start = self.start.unwrap_or(day_before);
        if start >= end && !faults.is_at(places.start) && !faults.is_at(places.end) {
            match self.start {
                Some(_) => faults.push(places.start, "range", "must be before end_date"),
                None => faults.push(places.end, "range", "leaves no time before it"),
            }
        }
        (start, end)
    }

    /// With a time zone, its days; or else buckets of the window asked for, or of the finest
    /// that fits.
    fn buckets(
        &self,
        range: (Timestamp, Timestamp),
        kept: &[Window],
        places: &Places,
        faults: &mut Faults,
    ) -> Buckets {
        if let Some(Zone(zone)) = self.zone.filter(|zone| !zone.is_utc()) {
            if self.window.is_some_and(|window| window != Window::D1) {
                faults.push(
                    places.zone,
                    "conflict",
                    "needs a window of 1d: shorter buckets are those of UTC everywhere",
                );
            }
            // Of a range with faults, days would mean nothing.
            if faults.is_empty() {
                match LocalDays::over(zone, range, self.compare, kept) {
                    Ok(days) => return Buckets::Days(days),
                    Err(why) => faults.push(places.zone, code(why), why.to_string()),
                }
            }
            return Buckets::Even(Window::D1);
        }
        let window = self
            .window
            .unwrap_or_else(|| fitting(kept, range.0, range.1));
        if !kept.contains(&window) {
            let names: Vec<_> = kept.iter().map(|window| window.as_str()).collect();
            let message = format!("is not kept; there are {}", names.join(", "));
            faults.push(places.window, "not_kept", message);
        }
        Buckets::Even(window)
    }

    /// The same for the same rows. The limit is not part of it, since pages may
    /// differ in length.
    fn fingerprint(&self, window: Window, group_by: GroupBy) -> Uuid {
        const NAMESPACE: Uuid = Uuid::from_u128(0x2c77_41d9_5f0e_4a43_9d3b_81a6_0be2_94f7);
        let Self {
            start,
            end,
            filter,
            fill,
            compare,
            zone,
            window: _,
            group_by: _,
            limit: _,
            cursor: _,
        } = self;
        let (start, end) = (start.map(Timestamp::micros), end.map(Timestamp::micros));
        let text =
            format!("{window} {group_by} {start:?} {end:?} {filter:?} {fill} {compare} {zone:?}");
        Uuid::new_v5(&NAMESPACE, text.as_bytes())
    }
}

const fn code(why: NoDays) -> &'static str {
    match why {
        NoDays::TooMany => "range",
        NoDays::NotKept(_) => "not_kept",
        NoDays::NotWhole => "conflict",
    }
}

/// Another query's position would silently skip or repeat rows.
fn check_cursor(
    cursor: &Cursor,
    fingerprint: Uuid,
    group_by: GroupBy,
    buckets: &Buckets,
) -> Result<(), (&'static str, &'static str)> {
    if cursor.fingerprint != fingerprint {
        let message = "belongs to another query: send it with the parameters of the page before; only limit may differ";
        return Err(("cursor_of_another_query", message));
    }
    let is_ours = cursor.key.is_of(group_by)
        && cursor.start < cursor.end
        && buckets.start(cursor.bucket_start) == cursor.bucket_start;
    is_ours.then_some(()).ok_or(("format", NOT_A_CURSOR))
}

/// The most values in one list of a filter.
pub(super) const MAX_VALUES: usize = 500;
/// The longest name of a command, an agent or a model, in characters.
const MAX_NAME: usize = 255;

/// A filter's list as the query holds it; of none, no condition.
pub(super) fn values<T: Ord>(mut values: Vec<T>) -> Option<Vec<T>> {
    values.sort_unstable();
    values.dedup();
    (!values.is_empty()).then_some(values)
}

/// Whether it may be the name of a command, an agent or a model.
///
/// # Errors
/// Code and message of a fault.
pub(super) fn check_name(name: &str) -> Result<(), (&'static str, String)> {
    if name.contains('\0') {
        return Err(("nul_character", "holds U+0000, as no name does".to_owned()));
    }
    match name.chars().count() {
        1..=MAX_NAME => Ok(()),
        _ => Err(("length", format!("must have 1 to {MAX_NAME} characters"))),
    }
}

/// Whether it may be the type of a metric.
pub(super) fn is_metric_type(name: &str) -> bool {
    let mut letters = name.bytes();
    name.len() <= 100
        && letters.next().is_some_and(|b| b.is_ascii_lowercase())
        && letters.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
}
