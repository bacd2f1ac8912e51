//! By what rows are grouped, and from which rollups a grouping can be answered.

use std::{fmt, str::FromStr};

use schemas::rollup::{Scope, SeriesKind};
use uuid::Uuid;

/// By what the events of a bucket are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupBy {
    /// Not at all: one row per bucket.
    None,
    /// By who did it.
    User,
    /// By team.
    Team,
    /// By project.
    Project,
    /// By the command's name; commands only.
    Command,
    /// By the agent's name, whatever its model; agents only.
    Agent,
    /// By the agent's model, whatever its name; agents only.
    Model,
    /// By the metric's type; metrics only.
    MetricType,
}

/// Not the name of a grouping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of none, user, team, project, command, agent, model, metric_type")]
pub(crate) struct UnknownGroupBy;

impl GroupBy {
    pub(crate) const ALL: [Self; 8] = [
        Self::None,
        Self::User,
        Self::Team,
        Self::Project,
        Self::Command,
        Self::Agent,
        Self::Model,
        Self::MetricType,
    ];

    /// The name in requests and answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::User => "user",
            Self::Team => "team",
            Self::Project => "project",
            Self::Command => "command",
            Self::Agent => "agent",
            Self::Model => "model",
            Self::MetricType => "metric_type",
        }
    }

    /// The only kind that counts, where the grouping is by something of that kind.
    pub(crate) const fn kind(self) -> Option<SeriesKind> {
        match self {
            Self::Command => Some(SeriesKind::Command),
            Self::Agent | Self::Model => Some(SeriesKind::Agent),
            Self::MetricType => Some(SeriesKind::Metric),
            Self::None | Self::User | Self::Team | Self::Project => None,
        }
    }

    /// Whether rows hold this kind.
    pub(crate) fn holds(self, kind: SeriesKind) -> bool {
        self.kind().is_none_or(|only| only == kind)
    }

    /// The column rows are grouped by, if any.
    pub(crate) const fn column(self) -> Column {
        match self {
            Self::None => Column::None,
            Self::User => Column::Id("user_id"),
            Self::Team => Column::Id("team_id"),
            Self::Project => Column::Id("project_id"),
            // PostgreSQL's "C" collation compares bytes: the same order everywhere.
            Self::Command | Self::Agent | Self::MetricType => Column::Name("name collate \"C\""),
            Self::Model => Column::Name("model collate \"C\""),
        }
    }
}

/// A grouping's SQL expression, by the type of its values. Either may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Nothing is grouped by.
    None,
    /// Ids.
    Id(&'static str),
    /// Names.
    Name(&'static str),
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GroupBy {
    type Err = UnknownGroupBy;
    fn from_str(text: &str) -> Result<Self, UnknownGroupBy> {
        let found = Self::ALL.into_iter().find(|group| group.as_str() == text);
        found.ok_or(UnknownGroupBy)
    }
}

/// What the rows of one group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Everything, when nothing is grouped by.
    All,
    /// A user, a team or a project; `None` for the events without one, which come last.
    Id(Option<Uuid>),
    /// A command, an agent, a model or a metric type; `None` for the agents that did not say
    /// their model, which come last.
    Name(Option<String>),
}

impl Key {
    /// Whether it is a key of this grouping.
    pub(crate) fn is_of(&self, group_by: GroupBy) -> bool {
        matches!(
            (self, group_by.column()),
            (Self::All, Column::None)
                | (Self::Id(_), Column::Id(_))
                | (Self::Name(_), Column::Name(_))
        )
    }
}

/// Which events count. Values are sorted and distinct; `None` is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) user_ids: Option<Vec<Uuid>>,
    pub(crate) team_ids: Option<Vec<Uuid>>,
    pub(crate) project_ids: Option<Vec<Uuid>>,
    /// Of commands, those of these names; other events count all the same.
    pub(crate) command_names: Option<Vec<String>>,
    /// Of agents' interactions, those of these agents; likewise.
    pub(crate) agent_names: Option<Vec<String>>,
    /// Of agents' interactions, those of these models; likewise.
    pub(crate) models: Option<Vec<String>>,
    /// Of metrics, those of these types; likewise.
    pub(crate) metric_types: Option<Vec<String>>,
}

/// The coarsest scope that can tell what the query asks, since it has the fewest rows.
/// Every scope holds every event once.
pub(crate) fn scope_for(filter: &Filter, group_by: GroupBy) -> Scope {
    let by_itself = match group_by {
        GroupBy::User | GroupBy::Project => Scope::User,
        GroupBy::Team => Scope::Team,
        // All scopes tell names and models apart.
        GroupBy::None
        | GroupBy::Command
        | GroupBy::Agent
        | GroupBy::Model
        | GroupBy::MetricType => Scope::Organization,
    };
    let for_filter = if filter.user_ids.is_some() || filter.project_ids.is_some() {
        Scope::User
    } else if filter.team_ids.is_some() {
        Scope::Team
    } else {
        Scope::Organization
    };
    by_itself.max(for_filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarsest_scope_that_can_answer_is_chosen() {
        let ids = || Some(vec![Uuid::nil()]);
        let names = || Some(vec![String::new()]);
        let by_name = Filter {
            command_names: names(),
            agent_names: names(),
            models: names(),
            metric_types: names(),
            ..Filter::default()
        };
        let user = Filter {
            user_ids: ids(),
            ..Filter::default()
        };
        let team = Filter {
            team_ids: ids(),
            ..Filter::default()
        };
        let project = Filter {
            project_ids: ids(),
            ..Filter::default()
        };
        for group_by in GroupBy::ALL {
            let by_itself = match group_by {
                GroupBy::User | GroupBy::Project => Scope::User,
                GroupBy::Team => Scope::Team,
                _ => Scope::Organization,
            };
            for coarsest in [&Filter::default(), &by_name] {
                assert_eq!(scope_for(coarsest, group_by), by_itself, "{group_by}");
            }
            assert_eq!(
                scope_for(&team, group_by),
                by_itself.max(Scope::Team),
                "{group_by}"
            );
            for finest in [&user, &project] {
                assert_eq!(scope_for(finest, group_by), Scope::User, "{group_by}");
            }
        }
    }

    #[test]
    fn names_go_both_ways() {
        for group_by in GroupBy::ALL {
            assert_eq!(group_by.to_string().parse(), Ok(group_by));
        }
        assert_eq!("User".parse::<GroupBy>(), Err(UnknownGroupBy));
    }
}
