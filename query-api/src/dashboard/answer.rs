//! What is answered, in JSON.

use schemas::Rollup;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    activity::{Active, TeamActivity, UserActivity},
    hours::HourOfWeek,
    trend::Direction,
};
use crate::{
    aggregated::{
        answer::{AgentExecutions, Executions, SessionFigures, ValueFigures},
        fold::Group,
    },
    anomalies::Anomaly,
    rollups::Measure,
};

/// Everything of the range at a glance. All parts are of one state of the database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dashboard {
    /// The range as asked for.
    #[schema(example = "7d")]
    pub(crate) time_range: &'static str,
    /// Where the range starts: with a bucket of the series.
    #[schema(format = DateTime)]
    pub(crate) start_date: String,
    /// Where it ends: with the bucket of the series that holds now, which is still open.
    #[schema(format = DateTime)]
    pub(crate) end_date: String,
    /// The series' window.
    #[schema(example = "1h")]
    pub(crate) window: &'static str,
    /// No event from before this instant is expected any more. Null while that is not known.
    #[schema(format = DateTime, required = true)]
    pub(crate) watermark: Option<String>,
    pub(crate) overview: Overview,
    /// Every bucket of the range, ascending, also those in which there was nothing.
    pub(crate) series: Vec<Bucket>,
    /// The lines through the complete buckets of the series.
    pub(crate) trends: Vec<Trend>,
    /// The commands executed most often, at most 20.
    pub(crate) top_commands: Vec<TopCommand>,
    /// The agents asked most often, at most 20; each of all its models together.
    pub(crate) top_agents: Vec<TopAgent>,
    /// The models used most often, at most 20, with what they used and cost.
    pub(crate) models: Vec<ModelFigures>,
    /// The most active teams, at most 500, by commands and interactions.
    pub(crate) teams: Vec<TeamActivity>,
    /// The most active users, at most 500, by commands and interactions.
    pub(crate) users: Vec<UserActivity>,
    /// The hours of the week in which there was something, ascending, over all weeks of the
    /// range.
    pub(crate) hours: Vec<HourOfWeek>,
    /// What stood out in the last 24 hours, whatever the range, as `/anomalies` tells it; the
    /// newest first, at most 50.
    pub(crate) anomalies: Vec<Anomaly>,
}

/// The range beside the one before it, of the same length.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overview {
    pub(crate) current: Figures,
    pub(crate) previous: Figures,
    pub(crate) change: Change,
}

/// What a range came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Figures {
    pub(crate) commands: Executions,
    pub(crate) agents: AgentExecutions,
    pub(crate) sessions: SessionFigures,
    /// How many users had any event, of whatever kind.
    pub(crate) active_users: u64,
    /// How many teams had any event, of whatever kind.
    pub(crate) active_teams: u64,
    /// The values of metrics of type `productivity_score`; null when there were none.
    #[schema(required = true)]
    pub(crate) productivity_score: Option<ValueFigures>,
}

/// `(current - previous) / previous` of each; null where the previous is zero or either is not
/// known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Change {
    #[schema(required = true)]
    commands: Option<f64>,
    /// Of commands.
    #[schema(required = true)]
    error_rate: Option<f64>,
    /// Of commands.
    #[schema(required = true)]
    p95_ms: Option<f64>,
    #[schema(required = true)]
    agents: Option<f64>,
    /// Input and output together.
    #[schema(required = true)]
    tokens: Option<f64>,
    #[schema(required = true)]
    cost_usd: Option<f64>,
    /// Of those that started.
    #[schema(required = true)]
    sessions: Option<f64>,
    #[schema(required = true)]
    active_users: Option<f64>,
    #[schema(required = true)]
    active_teams: Option<f64>,
    /// Of its mean.
    #[schema(required = true)]
    productivity_score: Option<f64>,
}

/// A bucket of the series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bucket {
    #[schema(format = DateTime)]
    pub(crate) bucket_start: String,
    /// Whether no event of the bucket is still on its way; see `/aggregated`.
    pub(crate) complete: bool,
    pub(crate) commands: Executions,
    pub(crate) agents: AgentExecutions,
    pub(crate) sessions: SessionFigures,
}

/// The line of ordinary least squares through the complete buckets of the series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trend {
    pub(crate) measure: Measure,
    /// How much it rises in 24 hours. Of counts, tokens and cost it is the rise of a bucket's
    /// sum. Null of fewer than two points.
    #[schema(required = true)]
    pub(crate) slope_per_day: Option<f64>,
    /// Where the line is at `start_date`.
    #[schema(required = true)]
    pub(crate) intercept: Option<f64>,
    /// The share of the scatter that the line explains; null also where there is no scatter.
    #[schema(required = true)]
    pub(crate) r_squared: Option<f64>,
    /// How many buckets: those that are complete and in which the measure is known.
    pub(crate) points: usize,
    /// `flat` unless the slope is more than two of its standard errors; `unknown` of fewer than
    /// five points.
    #[schema(inline)]
    pub(crate) direction: Direction,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopCommand {
    pub(crate) command_name: String,
    #[serde(flatten)]
    pub(crate) executions: Executions,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopAgent {
    pub(crate) agent_name: String,
    #[serde(flatten)]
    pub(crate) executions: AgentExecutions,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelFigures {
    /// Null for the interactions without a model.
    #[schema(required = true)]
    pub(crate) model: Option<String>,
    #[serde(flatten)]
    pub(crate) executions: AgentExecutions,
}

/// A range's events, and who was active in it.
#[derive(Debug)]
pub(super) struct Period {
    pub(super) events: Group,
    pub(super) active: Active,
}

impl Overview {
    pub(super) fn of(current: &Period, previous: &Period) -> Self {
        Self {
            current: Figures::of(current),
            previous: Figures::of(previous),
            change: Change::of(current, previous),
        }
    }
}

impl Figures {
    fn of(period: &Period) -> Self {
        let events = &period.events;
        Self {
            commands: Executions::of(&events.commands),
            agents: AgentExecutions::of(&events.agents),
            sessions: SessionFigures::of(&events.sessions),
            active_users: period.active.users,
            active_teams: period.active.teams,
            productivity_score: score(events),
        }
    }
}

fn score(events: &Group) -> Option<ValueFigures> {
    events.scores.values.and_then(ValueFigures::of)
}

impl Change {
    fn of(current: &Period, previous: &Period) -> Self {
        let change = |of: &dyn Fn(&Period) -> Option<f64>| ratio(of(current)?, of(previous)?);
        let measured = |measure: Measure| change(&|period| measure.of(&period.events));
        Self {
            commands: measured(Measure::Commands),
            error_rate: measured(Measure::ErrorRate),
            p95_ms: measured(Measure::P95Ms),
            agents: measured(Measure::Agents),
            tokens: measured(Measure::Tokens),
            cost_usd: measured(Measure::CostUsd),
            sessions: change(&|period| Some(period.events.sessions.started as f64)),
            active_users: change(&|period| Some(period.active.users as f64)),
            active_teams: change(&|period| Some(period.active.teams as f64)),
            productivity_score: change(&|period| Some(score(&period.events)?.mean)),
        }
    }
}

fn ratio(current: f64, previous: f64) -> Option<f64> {
    (previous != 0.0).then(|| (current - previous) / previous)
}

impl Bucket {
    pub(crate) fn of(events: &Group, complete: bool) -> Self {
        Self {
            bucket_start: events.bucket_start.to_string(),
            complete,
            commands: Executions::of(&events.commands),
            agents: AgentExecutions::of(&events.agents),
            sessions: SessionFigures::of(&events.sessions),
        }
    }
}

impl TopCommand {
    pub(crate) fn of((command_name, rollup): (String, Rollup)) -> Self {
        Self {
            command_name,
            executions: Executions::of(&rollup),
        }
    }
}

impl TopAgent {
    pub(crate) fn of((agent_name, rollup): (String, Rollup)) -> Self {
        Self {
            agent_name,
            executions: AgentExecutions::of(&rollup),
        }
    }
}

impl ModelFigures {
    pub(crate) fn of((model, rollup): (Option<String>, Rollup)) -> Self {
        Self {
            model,
            executions: AgentExecutions::of(&rollup),
        }
    }
}
