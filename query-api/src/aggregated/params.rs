//! The query string of `/aggregated`, read with all its faults at once.

use std::str::FromStr;

use schemas::{Fault, Timestamp, Window};
use uuid::Uuid;

use super::{
    cursor::Cursor,
    days::Zone,
    group::{Filter, GroupBy},
    query::{
        Asked, DEFAULT_LIMIT, MAX_LIMIT, MAX_VALUES, NOT_A_CURSOR, Places, Query, check_name,
        is_metric_type, values,
    },
};
use crate::params::Params;

/// The parameters' names.
pub(crate) const NAMES: [&str; 16] = [
    "start_date",
    "end_date",
    "user_id",
    "team_id",
    "project_id",
    "command_name",
    "agent_name",
    "model",
    "metric_types",
    "aggregation_window",
    "group_by",
    "fill",
    "compare",
    "tz",
    "limit",
    "cursor",
];

const PLACES: Places = Places {
    start: "/start_date",
    end: "/end_date",
    window: "/aggregation_window",
    command_names: "/command_name",
    agent_names: "/agent_name",
    models: "/model",
    metric_types: "/metric_types",
    fill: "/fill",
    zone: "/tz",
    cursor: "/cursor",
};

/// What rows are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WithPrevious;

/// Not the name of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be previous")]
pub(super) struct UnknownComparison;

impl FromStr for WithPrevious {
    type Err = UnknownComparison;
    fn from_str(text: &str) -> Result<Self, UnknownComparison> {
        (text == "previous")
            .then_some(Self)
            .ok_or(UnknownComparison)
    }
}

impl Query {
    /// Reads the decoded pairs of a query string. `kept` are the windows that there are
    /// rollups of.
    ///
    /// # Errors
    /// All faults together, each at the parameter's name.
    pub(crate) fn parse(
        pairs: &[(String, String)],
        kept: &[Window],
        now: Timestamp,
    ) -> Result<Self, Vec<Fault>> {
        let mut params = Params::new(pairs, &NAMES);
        let asked = Asked {
            start: params.optional("start_date", "format"),
            end: params.optional("end_date", "format"),
            filter: Filter {
                user_ids: id(&mut params, "user_id"),
                team_ids: id(&mut params, "team_id"),
                project_ids: id(&mut params, "project_id"),
                command_names: name(&mut params, "command_name"),
                agent_names: name(&mut params, "agent_name"),
                models: name(&mut params, "model"),
                metric_types: metric_types(&mut params),
            },
            window: params.optional("aggregation_window", "enum"),
            group_by: params.optional::<GroupBy>("group_by", "enum"),
            fill: params.optional("fill", "enum").unwrap_or(false),
            compare: params.optional::<WithPrevious>("compare", "enum").is_some(),
            zone: params.optional::<Zone>("tz", "enum"),
            limit: Some(params.whole_number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT)),
            cursor: cursor(&mut params),
        };
        asked.resolve(&PLACES, kept, now, params.faults)
    }
}

fn id(params: &mut Params<'_>, name: &str) -> Option<Vec<Uuid>> {
    params.id(name).map(|id| vec![id])
}

fn name(params: &mut Params<'_>, parameter: &str) -> Option<Vec<String>> {
    let name = params.get(parameter)?;
    if let Err((code, message)) = check_name(name) {
        params.fault(parameter, code, message);
    }
    Some(vec![name.to_owned()])
}

fn metric_types(params: &mut Params<'_>) -> Option<Vec<String>> {
    let types = params.get("metric_types")?.split(',').map(str::to_owned);
    let types = values(types.collect())?;
    if types.len() > MAX_VALUES {
        let message = format!("must be at most {MAX_VALUES} metric types");
        params.fault("metric_types", "range", message);
    } else if !types.iter().all(|name| is_metric_type(name)) {
        let message =
            "must be metric types separated by commas, each matching [a-z][a-z0-9_.]{0,99}";
        params.fault("metric_types", "pattern", message);
    }
    Some(types)
}

fn cursor(params: &mut Params<'_>) -> Option<Cursor> {
    let cursor = Cursor::decode(params.get("cursor")?);
    if cursor.is_none() {
        params.fault("cursor", "format", NOT_A_CURSOR);
    }
    cursor
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
