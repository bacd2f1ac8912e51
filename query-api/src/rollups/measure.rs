//! The measures whose course is judged: by trends, changes and anomalies.

use std::{fmt, str::FromStr};

use schemas::{Usd, event::Status};
use utoipa::ToSchema;

use crate::aggregated::fold::Group;

/// One number of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// How many commands were executed.
    Commands,
    /// Of commands, the share that failed; unknown where there were none.
    ErrorRate,
    /// Of commands, the execution time of rank 0.95, in milliseconds; unknown where there were
    /// none.
    P95Ms,
    /// How many interactions with agents there were.
    Agents,
    /// Tokens given to agents, and those they answered.
    Tokens,
    /// What agents cost, in US dollars.
    CostUsd,
}

/// Not the name of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of commands, error_rate, p95_ms, agents, tokens, cost_usd")]
pub(crate) struct UnknownMeasure;

impl Measure {
    /// All, in the order of answers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Commands,
        Self::ErrorRate,
        Self::P95Ms,
        Self::Agents,
        Self::Tokens,
        Self::CostUsd,
    ];

    /// The name in requests and answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::ErrorRate => "error_rate",
            Self::P95Ms => "p95_ms",
            Self::Agents => "agents",
            Self::Tokens => "tokens",
            Self::CostUsd => "cost_usd",
        }
    }

    /// Of events; `None` where they do not say.
    pub(crate) fn of(self, events: &Group) -> Option<f64> {
        let Group {
            commands, agents, ..
        } = events;
        match self {
            Self::Commands => Some(commands.count as f64),
            Self::ErrorRate => {
                let errors = commands.with_status(Status::Error) as f64;
                (commands.count > 0).then(|| errors / commands.count as f64)
            }
            Self::P95Ms => commands.quantile(0.95),
            Self::Agents => Some(agents.count as f64),
            Self::Tokens => Some(agents.input_tokens as f64 + agents.output_tokens as f64),
            Self::CostUsd => Some(agents.cost.units() as f64 / 10f64.powi(Usd::SCALE as i32)),
        }
    }

    /// Of no events; `None` where nothing can be said of none.
    pub(crate) const fn of_nothing(self) -> Option<f64> {
        match self {
            Self::ErrorRate | Self::P95Ms => None,
            Self::Commands | Self::Agents | Self::Tokens | Self::CostUsd => Some(0.0),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Measure {
    type Err = UnknownMeasure;
    fn from_str(text: &str) -> Result<Self, UnknownMeasure> {
        let found = Self::ALL.into_iter().find(|m| m.as_str() == text);
        found.ok_or(UnknownMeasure)
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Rollup, Timestamp, rollup::ExecutionTime};

    use super::*;
    use crate::aggregated::group::Key;

    #[test]
    fn names_go_both_ways_and_are_those_of_answers() {
        for measure in Measure::ALL {
            assert_eq!(measure.to_string().parse(), Ok(measure));
            assert_eq!(serde_json::to_value(measure).unwrap(), measure.as_str());
        }
        assert_eq!("p95".parse::<Measure>(), Err(UnknownMeasure));
    }

    #[test]
    fn each_is_taken_from_its_events() {
        let mut group = Group::empty(Timestamp::MIN, Key::All);
        for measure in Measure::ALL {
            assert_eq!(measure.of(&group), measure.of_nothing(), "{measure}");
        }
        group.commands = Rollup {
            count: 8,
            by_status: [5, 2, 1, 0],
            execution_time: Some(ExecutionTime::of(7)),
            ..Rollup::default()
        };
        group.agents = Rollup {
            count: 3,
            input_tokens: 10,
            output_tokens: 5,
            cost: "0.25".parse().unwrap(),
            ..Rollup::default()
        };
        let all = Measure::ALL.map(|measure| measure.of(&group).unwrap());
        assert_eq!(all, [8.0, 0.25, 7.0, 3.0, 15.0, 0.25]);
    }
}
