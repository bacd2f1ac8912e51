//! One row of an answer.

use schemas::{Timestamp, rollup::SeriesKind};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{AgentExecutions, Executions, Metrics, SessionFigures},
    fold::Group,
    group::{GroupBy, Key},
    query::Query,
};

/// One group in one bucket. A row exists only where there were events, or with `fill` in
/// every bucket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AggregatedRow {
    /// The bucket's start.
    #[schema(format = DateTime)]
    bucket_start: String,
    /// The bucket's length; days of a time zone may be shorter or longer by an hour.
    #[schema(example = "1h")]
    window: &'static str,
    /// Whether no event of the bucket is still on its way, as far as can be told: all
    /// sources were read up to its end and `WATERMARK_DELAY` beyond. Events that come later
    /// still count.
    complete: bool,
    /// With `group_by=user`; null for the events without a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>, required = false)]
    user_id: Option<Option<Uuid>>,
    /// With `group_by=team`; null for the events without a team.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>, required = false)]
    team_id: Option<Option<Uuid>>,
    /// With `group_by=project`; null for the events without a project.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>, required = false)]
    project_id: Option<Option<Uuid>>,
    /// With `group_by=command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    command_name: Option<String>,
    /// With `group_by=agent`; of all its models together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    agent_name: Option<String>,
    /// With `group_by=model`; of all its agents together. Null where agents did not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    model: Option<Option<String>>,
    /// With `group_by=metric_type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    metric_type: Option<String>,
    #[serde(flatten)]
    figures: RowFigures,
    /// With `compare=previous`: the same group in the bucket that lies as many buckets
    /// before this one as the range has; null if it had no events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PreviousRow>, required = false)]
    previous: Option<Option<PreviousRow>>,
}

/// A group in the bucket of the period before.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviousRow {
    /// That bucket's start.
    #[schema(format = DateTime)]
    bucket_start: String,
    #[serde(flatten)]
    figures: RowFigures,
}

/// What a group's events of one bucket come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RowFigures {
    /// Command executions; absent when grouped by agent, model or metric type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Executions, required = false)]
    commands: Option<Executions>,
    /// Agent interactions; absent when grouped by command or metric type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AgentExecutions, required = false)]
    agents: Option<AgentExecutions>,
    /// Productivity metrics; absent when grouped by command, agent or model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Metrics, required = false)]
    metrics: Option<Metrics>,
    /// Sessions; absent when grouped by command, agent, model or metric type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = SessionFigures, required = false)]
    sessions: Option<SessionFigures>,
}

impl AggregatedRow {
    /// `previous` with a comparison only.
    pub(crate) fn of(
        group: Group,
        previous: Option<Option<Group>>,
        query: &Query,
        watermark: Option<Timestamp>,
    ) -> Self {
        let end = query.buckets.end(group.bucket_start);
        let figures = RowFigures::of(&group, query);
        let (id, name) = match group.key {
            Key::All => (None, None),
            Key::Id(id) => (Some(id), None),
            Key::Name(name) => (None, Some(name)),
        };
        let id_of = |group_by| id.filter(|_| query.group_by == group_by);
        let name_of = |group_by| name.clone().filter(|_| query.group_by == group_by);
        Self {
            bucket_start: group.bucket_start.to_string(),
            window: query.buckets.window().as_str(),
            complete: watermark.is_some_and(|until| end <= until),
            user_id: id_of(GroupBy::User),
            team_id: id_of(GroupBy::Team),
            project_id: id_of(GroupBy::Project),
            command_name: name_of(GroupBy::Command).flatten(),
            agent_name: name_of(GroupBy::Agent).flatten(),
            model: name_of(GroupBy::Model),
            metric_type: name_of(GroupBy::MetricType).flatten(),
            figures,
            previous: previous.map(|group| group.map(|group| PreviousRow::of(&group, query))),
        }
    }
}

impl PreviousRow {
    fn of(group: &Group, query: &Query) -> Self {
        Self {
            bucket_start: group.bucket_start.to_string(),
            figures: RowFigures::of(group, query),
        }
    }
}

impl RowFigures {
    fn of(group: &Group, query: &Query) -> Self {
        let holds = |kind| query.group_by.holds(kind);
        Self {
            commands: holds(SeriesKind::Command).then(|| Executions::of(&group.commands)),
            agents: holds(SeriesKind::Agent).then(|| AgentExecutions::of(&group.agents)),
            metrics: holds(SeriesKind::Metric)
                .then(|| Metrics::of(&group.metrics, &group.scores, query.adds_values())),
            sessions: holds(SeriesKind::Session).then(|| SessionFigures::of(&group.sessions)),
        }
    }
}
