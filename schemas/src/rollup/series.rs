//! Which events are added up together.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::Event;

/// What a series counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// Command executions; the name is the command's.
    Command,
    /// Agent interactions; the name is the agent's.
    Agent,
    /// Productivity metrics; the name is the metric type.
    Metric,
    /// Sessions; the name is what the event says of its session: `started`, `updated` or
    /// `ended`.
    Session,
}

impl SeriesKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Command, Self::Agent, Self::Metric, Self::Session];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Agent => "agent",
            Self::Metric => "metric",
            Self::Session => "session",
        }
    }
}

/// How finely a series tells apart who did it. Each scope holds every event once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// By name only.
    Organization,
    /// By team and name; events without a team are a group of their own.
    Team,
    /// By team, project, user and name.
    User,
}

impl Scope {
    /// All, coarsest first.
    pub const ALL: [Self; 3] = [Self::Organization, Self::Team, Self::User];

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Team => "team",
            Self::User => "user",
        }
    }
}

/// What the events of a rollup have in common, within one organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What is counted.
    pub kind: SeriesKind,
    /// Command, agent, metric type, or kind of session event.
    pub name: String,
    /// The agent's model.
    pub model: Option<String>,
    /// Team, if the scope tells teams apart.
    pub team_id: Option<Uuid>,
    /// Project, if the scope tells projects apart.
    pub project_id: Option<Uuid>,
    /// User, if the scope tells users apart.
    pub user_id: Option<Uuid>,
}

impl Series {
    /// The finest series of an event.
    pub fn of(event: &Event) -> Self {
        let (kind, name, model) = parts(event);
        let common = event.common();
        Self {
            kind,
            name: name.to_owned(),
            model: model.map(str::to_owned),
            team_id: common.team_id,
            project_id: common.project_id,
            user_id: common.user_id,
        }
    }

    /// The series of `scope` that this one, of scope user, is part of.
    #[must_use]
    pub fn within(&self, scope: Scope) -> Self {
        let mut series = self.clone();
        if scope != Scope::User {
            series.user_id = None;
            series.project_id = None;
        }
        if scope == Scope::Organization {
            series.team_id = None;
        }
        series
    }

    /// A stable id, equal for equal series: a UUIDv5 (RFC 9562) of its parts. It stands in
    /// for them in primary keys, where NULLs would not compare.
    pub fn id(&self) -> Uuid {
        const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_7a52_93c4_4b0e_8a6f_2c9d_51e3_b784);
        let mut bytes = Vec::with_capacity(128);
        bytes.push(self.kind as u8);
        for id in [self.team_id, self.project_id, self.user_id] {
            bytes.push(u8::from(id.is_some()));
            bytes.extend_from_slice(id.unwrap_or_default().as_bytes());
        }
        // U+0000 is in no name, so it ends one.
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.push(0);
        if let Some(model) = &self.model {
            bytes.push(1);
            bytes.extend_from_slice(model.as_bytes());
        }
        Uuid::new_v5(&NAMESPACE, &bytes)
    }
}

/// Kind, name and model of an event's series.
pub(super) fn parts(event: &Event) -> (SeriesKind, &str, Option<&str>) {
    match event {
        Event::CommandExecution(e) => (SeriesKind::Command, &e.command_name, None),
        Event::AgentInteraction(e) => (SeriesKind::Agent, &e.agent_name, e.model.as_deref()),
        Event::ProductivityMetric(e) => (SeriesKind::Metric, e.metric_type.as_str(), None),
        Event::UserSession(e) => (SeriesKind::Session, e.kind.as_str(), None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_id_tells_series_apart_and_never_changes() {
        let base = Series {
            kind: SeriesKind::Agent,
            name: "a".into(),
            model: None,
            team_id: None,
            project_id: None,
            user_id: None,
        };
        let some = Some(Uuid::nil());
        let variants = [
            base.clone(),
            Series {
                kind: SeriesKind::Command,
                ..base.clone()
            },
            Series {
                kind: SeriesKind::Session,
                ..base.clone()
            },
            Series {
                name: "b".into(),
                ..base.clone()
            },
            Series {
                model: Some(String::new()),
                ..base.clone()
            },
            Series {
                team_id: some,
                ..base.clone()
            },
            Series {
                project_id: some,
                ..base.clone()
            },
            Series {
                user_id: some,
                ..base.clone()
            },
        ];
        let ids: BTreeSet<_> = variants.iter().map(Series::id).collect();
        assert_eq!(ids.len(), variants.len());
        // Stored in databases: a change would split every series in two.
        assert_eq!(
            base.id().to_string(),
            "cda783a3-c2c5-5e42-9d43-da4fc1e79633"
        );
    }

    #[test]
    fn a_scope_forgets_what_is_finer() {
        let some = Some(Uuid::from_u128(1));
        let fine = Series {
            kind: SeriesKind::Command,
            name: "build".into(),
            model: None,
            team_id: some,
            project_id: some,
            user_id: some,
        };
        assert_eq!(fine.within(Scope::User), fine);
        let team = fine.within(Scope::Team);
        assert_eq!(
            (team.team_id, team.project_id, team.user_id),
            (some, None, None)
        );
        assert_eq!(fine.within(Scope::Organization).team_id, None);
    }
}
