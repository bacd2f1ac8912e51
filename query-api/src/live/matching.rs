//! Which rows of a view a series belongs to, as `/aggregated` has it by SQL.

use schemas::rollup::{Series, SeriesKind};
use uuid::Uuid;

use crate::aggregated::group::{Filter, GroupBy, Key};

/// Whether events of a series count.
pub(super) fn admits(filter: &Filter, group_by: GroupBy, series: &Series) -> bool {
    let Filter {
        user_ids,
        team_ids,
        project_ids,
        command_names,
        agent_names,
        models,
        metric_types,
    } = filter;
    let is_one = |ids: &Option<Vec<Uuid>>, id: Option<Uuid>| {
        let ids = ids.as_deref();
        ids.is_none_or(|ids| id.is_some_and(|id| ids.binary_search(&id).is_ok()))
    };
    let named = |kind, names: &Option<Vec<String>>, name: Option<&String>| {
        let names = names.as_deref().filter(|_| series.kind == kind);
        names.is_none_or(|names| name.is_some_and(|name| names.binary_search(name).is_ok()))
    };
    let name = Some(&series.name);
    group_by.holds(series.kind)
        && is_one(user_ids, series.user_id)
        && is_one(team_ids, series.team_id)
        && is_one(project_ids, series.project_id)
        && named(SeriesKind::Command, command_names, name)
        && named(SeriesKind::Agent, agent_names, name)
        && named(SeriesKind::Agent, models, series.model.as_ref())
        && named(SeriesKind::Metric, metric_types, name)
}

/// The group of a series whose events count.
pub(super) fn key(group_by: GroupBy, series: &Series) -> Key {
    match group_by {
        GroupBy::None => Key::All,
        GroupBy::User => Key::Id(series.user_id),
        GroupBy::Team => Key::Id(series.team_id),
        GroupBy::Project => Key::Id(series.project_id),
        GroupBy::Model => Key::Name(series.model.clone()),
        GroupBy::Command | GroupBy::Agent | GroupBy::MetricType => {
            Key::Name(Some(series.name.clone()))
        }
    }
}
