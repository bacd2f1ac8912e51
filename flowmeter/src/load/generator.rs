//! Events that look like those of an engineering organization.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::Serialize;
use uuid::{Builder, Uuid};

const COMMANDS: [&str; 12] = [
    "build", "test", "lint", "format", "review", "commit", "deploy", "debug", "refactor", "search",
    "plan", "document",
];
const AGENTS: [&str; 6] = [
    "planner",
    "coder",
    "reviewer",
    "tester",
    "researcher",
    "fixer",
];
/// Model, and dollars per million input and output tokens.
const MODELS: [(&str, u64, u64); 3] = [("large", 15, 75), ("medium", 3, 15), ("small", 1, 5)];
const INTERACTIONS: [&str; 3] = ["chat", "completion", "edit"];

/// What decides a stream.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Equal seeds give equal streams.
    pub seed: u64,
    /// How many users there are.
    pub users: u64,
    /// How many teams they are in; some are in none.
    pub teams: u64,
    /// The latest event time.
    pub until: DateTime<Utc>,
    /// How long before it the earliest may be.
    pub span: Duration,
}

/// Makes batches of events, as the gateway takes them.
pub struct Generator {
    random: StdRng,
    users: Vec<User>,
    until: DateTime<Utc>,
    span_ms: i64,
}

struct User {
    id: Uuid,
    team: Option<Uuid>,
    project: Option<Uuid>,
}

/// The body of `POST /api/metrics/batch`.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Batch {
    pub command_executions: Vec<Command>,
    pub agent_interactions: Vec<Agent>,
}

impl Batch {
    /// How many events it holds.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a count, of what is no collection"
    )]
    pub fn len(&self) -> u64 {
        (self.command_executions.len() + self.agent_interactions.len()) as u64
    }

    /// Drops the events that `keep` does not want, told their kind and their index within it.
    pub(crate) fn keep(&mut self, mut keep: impl FnMut(&str, usize) -> bool) {
        fn of<T>(events: &mut Vec<T>, mut keep: impl FnMut(usize) -> bool) {
            let mut index = 0..;
            events.retain(|_| index.next().is_some_and(&mut keep));
        }
        of(&mut self.command_executions, |i| {
            keep("command_execution", i)
        });
        of(&mut self.agent_interactions, |i| {
            keep("agent_interaction", i)
        });
    }
}

/// A command execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Command {
    pub event_id: Uuid,
    pub timestamp: String,
    pub user_id: Uuid,
    pub team_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    pub command_name: &'static str,
    pub execution_time_ms: i64,
    pub status: &'static str,
}

/// An agent interaction.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract names the fields")]
pub struct Agent {
    pub event_id: Uuid,
    pub timestamp: String,
    pub user_id: Uuid,
    pub team_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    pub agent_name: &'static str,
    pub interaction_type: &'static str,
    pub execution_time_ms: i64,
    pub status: &'static str,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_usd: String,
    pub model: &'static str,
}

impl Generator {
    /// The stream of a shape, from its beginning.
    pub fn new(shape: &Shape) -> Self {
        let mut random = StdRng::seed_from_u64(shape.seed);
        let teams: Vec<Uuid> = (0..shape.teams).map(|_| uuid(&mut random)).collect();
        let projects: Vec<Uuid> = (0..shape.teams * 2).map(|_| uuid(&mut random)).collect();
        let users = (0..shape.users)
            .map(|_| User {
                id: uuid(&mut random),
                team: random.random_bool(0.9).then(|| pick(&mut random, &teams)),
                project: random
                    .random_bool(0.8)
                    .then(|| pick(&mut random, &projects)),
            })
            .collect();
        Self {
            random,
            users,
            until: shape.until,
            span_ms: i64::try_from(shape.span.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// The next `count` events.
    pub fn batch(&mut self, count: u64) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..count {
            if self.random.random_bool(0.6) {
                let command = self.command();
                batch.command_executions.push(command);
            } else {
                let agent = self.agent();
                batch.agent_interactions.push(agent);
            }
        }
        batch
    }

    fn command(&mut self) -> Command {
        let timestamp = self.timestamp();
        let random = &mut self.random;
        // Some people work more than others.
        let user = &self.users[skewed(random, self.users.len())];
        Command {
            event_id: Uuid::now_v7(),
            timestamp,
            user_id: user.id,
            team_id: user.team,
            project_id: user.project,
            command_name: COMMANDS[skewed(random, COMMANDS.len())],
            execution_time_ms: duration(random, 300.0),
            status: status(random),
        }
    }

    fn agent(&mut self) -> Agent {
        let timestamp = self.timestamp();
        let random = &mut self.random;
        let user = &self.users[skewed(random, self.users.len())];
        let (model, input_price, output_price) = MODELS[skewed(random, MODELS.len())];
        let input_tokens = random.random_range(100..50_000);
        let output_tokens = random.random_range(10..5_000);
        // Dollars per million tokens are millionths of a dollar per token.
        let cost = input_tokens * input_price + output_tokens * output_price;
        Agent {
            event_id: Uuid::now_v7(),
            timestamp,
            user_id: user.id,
            team_id: user.team,
            project_id: user.project,
            agent_name: AGENTS[skewed(random, AGENTS.len())],
            interaction_type: pick(random, &INTERACTIONS),
            execution_time_ms: duration(random, 4_000.0),
            status: status(random),
            input_tokens,
            output_tokens,
            cost_usd: format!("{}.{:06}", cost / 1_000_000, cost % 1_000_000),
            model,
        }
    }

    fn timestamp(&mut self) -> String {
        let before = TimeDelta::milliseconds(self.random.random_range(0..self.span_ms));
        (self.until - before).to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

fn uuid(random: &mut impl Rng) -> Uuid {
    Builder::from_random_bytes(random.random()).into_uuid()
}

fn pick<T: Copy>(random: &mut impl Rng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

/// An index below `len`, small ones more often.
fn skewed(random: &mut impl Rng, len: usize) -> usize {
    let x: f64 = random.random();
    ((x * x * len as f64) as usize).min(len - 1)
}

/// Long-tailed around `median` milliseconds, up to the longest allowed; sometimes none.
fn duration(random: &mut impl Rng, median: f64) -> i64 {
    let x: f64 = random.random_range(-1.0..1.0);
    ((median * (x * 6.0).exp2()) as i64 - 4).clamp(0, 3_600_000)
}

fn status(random: &mut impl Rng) -> &'static str {
    match random.random_range(0..100) {
        0..90 => "success",
        90..96 => "error",
        96..98 => "timeout",
        _ => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(seed: u64, batches: &[u64]) -> Vec<(String, Uuid, &'static str, i64)> {
        let mut generator = Generator::new(&Shape {
            seed,
            users: 50,
            teams: 4,
            until: DateTime::UNIX_EPOCH,
            span: Duration::from_secs(3600),
        });
        let all: Vec<Batch> = batches.iter().map(|n| generator.batch(*n)).collect();
        let commands = all.iter().flat_map(|b| &b.command_executions);
        commands
            .map(|c| {
                (
                    c.timestamp.clone(),
                    c.user_id,
                    c.command_name,
                    c.execution_time_ms,
                )
            })
            .collect()
    }

    #[test]
    fn what_is_kept_of_a_batch_is_told_by_kind_and_index() {
        let mut batch = Generator::new(&Shape {
            seed: 1,
            users: 3,
            teams: 1,
            until: DateTime::UNIX_EPOCH,
            span: Duration::from_secs(60),
        })
        .batch(20);
        let expected = batch.command_executions[1].clone();
        batch.keep(|kind, index| kind == "command_execution" && index == 1);
        assert_eq!(batch.command_executions, [expected]);
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn the_seed_decides_and_the_batch_size_does_not() {
        assert_eq!(events(7, &[100]), events(7, &[30, 70]));
        assert_ne!(events(7, &[100]), events(8, &[100]));
    }
}
