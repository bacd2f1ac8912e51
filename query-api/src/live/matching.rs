//! Which rows of a view a series belongs to, as `/aggregated` has it by SQL.

use schemas::{
    event::SessionKind,
    rollup::{Series, SeriesKind},
};

use crate::aggregated::{
    fold::Part,
    group::{Filter, GroupBy, Key},
};

/// Whether events of a series count.
pub(super) fn admits(filter: &Filter, group_by: GroupBy, series: &Series) -> bool {
    let Filter {
        user_id,
        team_id,
        project_id,
        metric_types,
    } = filter;
    let of_type = |types: &Vec<String>| {
        series.kind != SeriesKind::Metric || types.binary_search(&series.name).is_ok()
    };
    group_by.holds(series.kind)
        && (user_id.is_none() || *user_id == series.user_id)
        && (team_id.is_none() || *team_id == series.team_id)
        && (project_id.is_none() || *project_id == series.project_id)
        && metric_types.as_ref().is_none_or(of_type)
}

/// The group of a series whose events count.
pub(super) fn key(group_by: GroupBy, series: &Series) -> Key {
    match group_by {
        GroupBy::None => Key::All,
        GroupBy::User => Key::Id(series.user_id),
        GroupBy::Team => Key::Id(series.team_id),
        GroupBy::Command | GroupBy::Agent | GroupBy::MetricType => Key::Name(series.name.clone()),
    }
}

/// The part of a row that a series is added to; `None` for what no aggregator of ours writes.
pub(super) fn part(series: &Series) -> Option<Part> {
    Some(match (series.kind, series.name.as_str()) {
        (SeriesKind::Command, _) => Part::Commands,
        (SeriesKind::Agent, _) => Part::Agents,
        (SeriesKind::Metric, "productivity_score") => Part::Scores,
        (SeriesKind::Metric, _) => Part::Metrics,
        (SeriesKind::Session, "started") => Part::Sessions(SessionKind::Started),
        (SeriesKind::Session, "updated") => Part::Sessions(SessionKind::Updated),
        (SeriesKind::Session, "ended") => Part::Sessions(SessionKind::Ended),
        (SeriesKind::Session, _) => return None,
    })
}
