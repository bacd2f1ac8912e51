//! Who is there, and what they use.

use rand::{RngExt, distr::weighted::WeightedIndex, rngs::StdRng};
use uuid::{Builder, Uuid};

/// Names of commands, the most used first.
pub(crate) const COMMANDS: [&str; 20] = [
    "build",
    "test",
    "lint",
    "format",
    "review",
    "commit",
    "search",
    "debug",
    "deploy",
    "refactor",
    "plan",
    "document",
    "rebase",
    "profile",
    "migrate",
    "release",
    "rollback",
    "audit",
    "scaffold",
    "benchmark",
];
/// Names of agents, likewise.
pub(crate) const AGENTS: [&str; 6] = [
    "coder",
    "planner",
    "reviewer",
    "tester",
    "researcher",
    "fixer",
];
const USERS_OF_A_TEAM: usize = 20;

pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) team: Option<Uuid>,
    pub(crate) project: Option<Uuid>,
    /// Events of a working day, on average.
    pub(crate) diligence: f64,
}

pub(crate) struct Organization {
    pub(crate) id: Uuid,
    pub(crate) users: Vec<User>,
    pub(crate) commands: WeightedIndex<f64>,
    pub(crate) agents: WeightedIndex<f64>,
}

impl Organization {
    pub(crate) fn new(random: &mut StdRng, id: Uuid, users: usize) -> Self {
        let teams: Vec<Uuid> = (0..=users / USERS_OF_A_TEAM)
            .map(|_| uuid(random))
            .collect();
        let projects: Vec<Uuid> = teams
            .iter()
            .flat_map(|_| [uuid(random), uuid(random)])
            .collect();
        let users = (0..users)
            .map(|n| User {
                id: uuid(random),
                // The few that are in none.
                team: random.random_bool(0.95).then(|| teams[n / USERS_OF_A_TEAM]),
                project: random.random_bool(0.8).then(|| {
                    projects[n / USERS_OF_A_TEAM * 2 + usize::from(random.random_bool(0.3))]
                }),
                diligence: random.random_range(4.0..20.0),
            })
            .collect();
        Self {
            id,
            users,
            commands: zipf(COMMANDS.len()),
            agents: zipf(AGENTS.len()),
        }
    }
}

/// The n-th is chosen 1/n as often as the first.
fn zipf(len: usize) -> WeightedIndex<f64> {
    let weights = (1..=len).map(|n| 1.0 / n as f64);
    WeightedIndex::new(weights).expect("there are some, and all are positive")
}

pub(crate) fn uuid(random: &mut StdRng) -> Uuid {
    Builder::from_random_bytes(random.random()).into_uuid()
}
