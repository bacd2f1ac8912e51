//! Events one by one, with everything in them that there may be.

use rand::{Rng, RngExt, seq::IndexedRandom};
use schemas::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::events::text;

/// The tables of the kinds, in the order of the lists `/commands`, `/agents`, `/productivity`
/// and `/sessions`.
pub(super) const TABLES: [&str; 4] = [
    "command_executions",
    "agent_interactions",
    "productivity_metrics",
    "user_sessions",
];
/// Names in an order that a locale would change, and more than a top list tells.
pub(super) const COMMANDS: [&str; 24] = [
    "build", "Build", "test", "ä b", "a,b", "=1+1", "lint", "format", "review", "commit", "search",
    "debug", "deploy", "plan", "rebase", "profile", "migrate", "release", "rollback", "audit",
    "scaffold", "bench", "clean", "watch",
];
pub(super) const AGENTS: [&str; 3] = ["coder", "Reviewer", "日本"];
pub(super) const MODELS: [&str; 3] = ["small", "large", "Large/2+"];
pub(super) const METRICS: [&str; 4] = ["productivity_score", "error_rate", "a.b", "a_b"];
pub(super) const SESSIONS: u32 = 9;
pub(super) const USERS: u128 = 8;
pub(super) const TEAMS: u128 = 3;
pub(super) const PROJECTS: u128 = 2;
/// These users are in no team.
const TEAMLESS: [u128; 2] = [7, 8];

/// Texts to search in: formulas, delimiters, quotes and line breaks among them.
const TEXTS: [&str; 12] = [
    "connection refused",
    "Connection REFUSED by peer",
    "refused: no connection",
    "disk full",
    "=cmd|' /C calc'!A0",
    "-2 \"quoted\", and more",
    "@SUM(A1:A2)\r\nbuild",
    "Größe 日本 \u{1f600}",
    "a 17 deep\tend",
    "'; drop table x; --",
    "deploy failed",
    "",
];

/// The n-th of a small number of users, teams and projects.
pub(super) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x1000 + n)
}

/// One of the first so many, or none.
fn one_of(random: &mut impl Rng, many: u128) -> Option<Uuid> {
    let n = random.random_range(0..=many);
    (n > 0).then(|| id(n))
}

/// What every event has; `n` counts those of a kind.
pub(super) fn common(random: &mut impl Rng, organization: Uuid, at: Timestamp, n: usize) -> Value {
    let user = random.random_range(1..=USERS);
    let team = one_of(random, TEAMS).filter(|_| !TEAMLESS.contains(&user));
    json!({
        "event_id": Uuid::from_u128(random.random()),
        "organization_id": organization,
        "user_id": id(user),
        "team_id": team,
        "project_id": one_of(random, PROJECTS),
        "timestamp": text(at),
        "received_at": text(at.saturating_add_seconds(random.random_range(0..90))),
        "source_partition": n % 3,
        "source_offset": n,
    })
}

/// Of any order of magnitude.
fn millis(random: &mut impl Rng) -> u64 {
    let most = 10_u64.pow(random.random_range(0..7));
    random.random_range(0..=most.min(3_600_000))
}

fn status(random: &mut impl Rng) -> &'static str {
    ["success", "success", "error", "timeout", "cancelled"]
        .choose(random)
        .unwrap()
}

fn maybe<T>(random: &mut impl Rng, value: T) -> Option<T> {
    random.random_bool(0.6).then_some(value)
}

fn object(random: &mut impl Rng) -> Option<Value> {
    let (words, n) = (TEXTS.choose(random), random.random_range(0..20));
    maybe(
        random,
        json!({"text": words, "n": n, "deep": [n, null, 1.5]}),
    )
}

pub(super) fn command<R: Rng>(random: &mut R, _: Timestamp) -> Value {
    // The first are used the most.
    let name = random.random_range(0..COMMANDS.len()) * random.random_range(0..COMMANDS.len());
    let error = TEXTS.choose(random);
    json!({
        "command_name": COMMANDS[name / COMMANDS.len()],
        "execution_time_ms": millis(random),
        "status": status(random),
        "command_args": object(random),
        "error_message": maybe(random, error),
        "context": object(random),
    })
}

pub(super) fn agent<R: Rng>(random: &mut R, _: Timestamp) -> Value {
    let sometimes = |random: &mut R, most: u64| {
        let number = random.random_range(0..=most);
        random.random_bool(0.8).then_some(number)
    };
    let cost = sometimes(random, 5_000_000_000_000);
    let error = TEXTS.choose(random);
    let execution = Uuid::from_u128(random.random());
    let interaction = ["chat", "review", "connection"].choose(random);
    json!({
        "agent_name": AGENTS.choose(random),
        "model": MODELS.choose(random).filter(|_| random.random_bool(0.8)),
        "interaction_type": interaction,
        "execution_time_ms": millis(random),
        "status": status(random),
        "input_tokens": sometimes(random, 1_000_000_000),
        "output_tokens": sometimes(random, 1000),
        "cost_usd": cost.map(|units| format!("{}.{:012}", units / 10_u64.pow(12), units % 10_u64.pow(12))),
        "command_execution_id": maybe(random, execution),
        "error_message": maybe(random, error),
        "metadata": object(random),
    })
}

pub(super) fn metric<R: Rng>(random: &mut R, _: Timestamp) -> Value {
    let mut own = json!({
        "metric_type": METRICS.choose(random),
        "metric_value": f64::from(random.random_range(-1000..10_000_i32)) / 100.0,
        "metric_unit": maybe(random, "%"),
        "dimensions": object(random),
    });
    if random.random_bool(0.2) {
        own["user_id"] = Value::Null;
    }
    own
}

pub(super) fn session<R: Rng>(random: &mut R, at: Timestamp) -> Value {
    let start = at.saturating_add_seconds(-random.random_range(0..86_400));
    let end = start.saturating_add_seconds(random.random_range(0..86_400));
    let minutes = f64::from(random.random_range(0..1_440_000_i32)) / 1000.0;
    let kind = ["started", "updated", "ended", "ended"].choose(random);
    let agents = AGENTS.sample(random, 2).collect::<Vec<_>>();
    let commands = random.random_range(0..50);
    let score = f64::from(random.random_range(0..400_i32)) / 4.0;
    json!({
        "session_id": format!("s-{}", random.random_range(0..SESSIONS)),
        "kind": kind,
        "session_start": maybe(random, text(start)),
        "session_end": maybe(random, text(end)),
        "duration_minutes": maybe(random, minutes),
        "commands_executed": maybe(random, commands),
        "agents_used": maybe(random, agents),
        "productivity_score": maybe(random, score),
        "context": object(random),
    })
}
