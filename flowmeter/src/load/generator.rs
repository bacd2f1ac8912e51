//! Events that look like those of an engineering organization.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use uuid::{Builder, Uuid};

use super::batch::{Agent, Batch, Command, Metric, Session};

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
/// Metric type, unit, largest value in tenths.
const METRICS: [(&str, &str, u32); 4] = [
    ("productivity_score", "points", 1_000),
    ("commands_per_hour", "1/h", 1_200),
    ("error_rate", "percent", 1_000),
    ("task_completion_time", "min", 4_800),
];
/// The longest a session takes.
const LONGEST_SESSION_MS: i64 = 10 * 3_600_000;

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
    /// Sessions that started and did not end yet.
    open: Vec<OpenSession>,
}

#[derive(Clone, Copy)]
struct User {
    id: Uuid,
    team: Option<Uuid>,
    project: Option<Uuid>,
}

#[derive(Clone, Copy)]
struct OpenSession {
    id: Uuid,
    user: User,
    start: DateTime<Utc>,
    /// How long it will have been.
    length: TimeDelta,
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
            open: Vec::new(),
        }
    }

    /// The next `count` events.
    pub fn batch(&mut self, count: u64) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..count {
            match self.random.random_range(0..100) {
                0..55 => batch.command_executions.push(self.command()),
                55..85 => batch.agent_interactions.push(self.agent()),
                85..93 => batch.productivity_metrics.push(self.metric()),
                _ => batch.user_sessions.push(self.session()),
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

    fn metric(&mut self) -> Metric {
        let timestamp = self.timestamp();
        let random = &mut self.random;
        let user = &self.users[skewed(random, self.users.len())];
        let (metric_type, metric_unit, most) = pick(random, &METRICS);
        Metric {
            event_id: Uuid::now_v7(),
            timestamp,
            user_id: user.id,
            team_id: user.team,
            project_id: user.project,
            metric_type,
            metric_value: tenths(random, most),
            metric_unit,
        }
    }

    /// A session that starts, or the progress or end of one that did.
    fn session(&mut self) -> Session {
        let open = self.open.len();
        match self.random.random_range(0..5) {
            0..2 if open > 0 => {
                let ended = self.random.random_range(0..open);
                let session = self.open.swap_remove(ended);
                self.session_end(session)
            }
            2 if open > 0 => {
                let session = pick(&mut self.random, &self.open);
                let so_far = session.length * self.random.random_range(0..100) / 100;
                Session::new("updated", session, session.start + so_far)
            }
            _ => {
                let session = self.session_start();
                self.open.push(session);
                Session::new("started", session, session.start)
            }
        }
    }

    fn session_start(&mut self) -> OpenSession {
        let start = self.instant();
        let random = &mut self.random;
        // It ends before the events do.
        let longest = (self.until - start).num_milliseconds();
        let length = random.random_range(0..=longest.min(LONGEST_SESSION_MS));
        OpenSession {
            id: uuid(random),
            user: self.users[skewed(random, self.users.len())],
            start,
            length: TimeDelta::milliseconds(length),
        }
    }

    /// Some say all that may be said, and some little.
    fn session_end(&mut self, session: OpenSession) -> Session {
        let random = &mut self.random;
        let end = session.start + session.length;
        let minutes = session.length.num_seconds() as f64 / 60.0;
        Session {
            session_end: random.random_bool(0.9).then(|| text(end)),
            duration_minutes: random.random_bool(0.5).then_some(minutes),
            commands_executed: random.random_bool(0.8).then(|| random.random_range(0..200)),
            productivity_score: random.random_bool(0.7).then(|| tenths(random, 1_000)),
            ..Session::new("ended", session, end)
        }
    }

    fn timestamp(&mut self) -> String {
        text(self.instant())
    }

    fn instant(&mut self) -> DateTime<Utc> {
        self.until - TimeDelta::milliseconds(self.random.random_range(0..self.span_ms))
    }
}

impl Session {
    fn new(kind: &'static str, session: OpenSession, at: DateTime<Utc>) -> Self {
        Self {
            event_id: Uuid::now_v7(),
            timestamp: text(at),
            user_id: session.user.id,
            team_id: session.user.team,
            project_id: session.user.project,
            session_id: session.id.to_string(),
            kind,
            session_start: text(session.start),
            session_end: None,
            duration_minutes: None,
            commands_executed: None,
            productivity_score: None,
        }
    }
}

fn text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A number of tenths from 0 to `most`.
fn tenths(random: &mut impl Rng, most: u32) -> f64 {
    f64::from(random.random_range(0..=most)) / 10.0
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
    use std::collections::BTreeSet;

    use serde_json::{Value, to_value};

    use super::*;

    fn generator(seed: u64, users: u64, span: u64) -> Generator {
        Generator::new(&Shape {
            seed,
            users,
            teams: 4,
            until: DateTime::UNIX_EPOCH,
            span: Duration::from_secs(span),
        })
    }

    /// The events of batches, without their ids.
    fn events(seed: u64, batches: &[u64]) -> Vec<Value> {
        let mut generator = generator(seed, 50, 3600);
        let mut all = vec![Vec::new(); 4];
        for count in batches {
            let batch = generator.batch(*count);
            assert_eq!(batch.len(), *count);
            let Value::Object(lists) = to_value(batch).unwrap() else {
                panic!("a batch is an object");
            };
            assert_eq!(lists.len(), all.len());
            for (all, (_, list)) in all.iter_mut().zip(lists) {
                all.extend(list.as_array().unwrap().iter().cloned());
            }
        }
        let mut events = all.concat();
        for event in &mut events {
            event.as_object_mut().unwrap().remove("event_id");
        }
        events
    }

    #[test]
    fn what_is_kept_of_a_batch_is_told_by_kind_and_index() {
        let batch = generator(1, 3, 60).batch(100);
        let mut commands = batch.clone();
        commands.keep(|kind, index| kind == "command_execution" && index == 1);
        assert_eq!(commands.command_executions, batch.command_executions[1..=1]);
        assert_eq!(commands.len(), 1);
        let mut sessions = batch.clone();
        sessions.keep(|kind, index| kind == "user_session" && index == 0);
        assert_eq!(sessions.user_sessions, batch.user_sessions[..1]);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn the_seed_decides_and_the_batch_size_does_not() {
        assert_eq!(events(7, &[300]), events(7, &[30, 270]));
        assert_ne!(events(7, &[100]), events(8, &[100]));
    }

    #[test]
    fn a_session_that_ends_has_started_and_no_event_is_later_than_asked() {
        let batch = generator(3, 50, 86_400).batch(5_000);
        let mut open = BTreeSet::new();
        let mut ended = 0;
        for event in &batch.user_sessions {
            let known = open.contains(&event.session_id);
            assert_eq!(known, event.kind != "started", "{event:?}");
            match event.kind {
                "started" => assert!(open.insert(event.session_id.clone())),
                "ended" => {
                    ended += 1;
                    open.remove(&event.session_id);
                }
                _ => {}
            }
            let at: DateTime<Utc> = event.timestamp.parse().unwrap();
            let start: DateTime<Utc> = event.session_start.parse().unwrap();
            assert!(start <= at && at <= DateTime::UNIX_EPOCH, "{event:?}");
        }
        assert!(ended > 50, "{ended} ended");
    }
}
