//! The series of the workload.

use uuid::Uuid;

/// Organizations of the workload.
pub const ORGANIZATIONS: u32 = 20;
/// Commands that one user runs.
const COMMANDS_OF_A_USER: u32 = 5;
/// Users of one team, at most.
const USERS_OF_A_TEAM: u32 = 10;
/// Names of commands: an event as it is posted is 271 bytes long on average.
const NAMES: [&str; 10] = [
    "make build test",
    "cargo test --workspace --locked",
    "npm run lint -- --fix",
    "git commit --amend --no-edit",
    "deploy staging --wait",
    "npm run build -- --watch",
    "review --since yesterday",
    "terraform plan -out=plan",
    "refactor",
    "pytest -x tests/unit",
];

/// What the finest rollup of a command tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The tenant.
    pub organization: Uuid,
    /// A team of it.
    pub team: Uuid,
    /// A user of that team.
    pub user: Uuid,
    /// The command.
    pub name: String,
}

/// `count` series. Ranks go around the organizations, so that each has its share of busy and
/// quiet ones; within an organization, five commands of one user come before the next user,
/// and ten users of one team before the next team.
pub fn all(count: u32) -> Vec<Series> {
    (0..count)
        .map(|rank| {
            let organization = rank % ORGANIZATIONS;
            let index = rank / ORGANIZATIONS;
            let user = index / COMMANDS_OF_A_USER;
            let name = (user + index % COMMANDS_OF_A_USER) as usize % NAMES.len();
            Series {
                organization: id(1, organization, 0),
                team: id(2, organization, user / USERS_OF_A_TEAM),
                user: id(3, organization, user),
                name: NAMES[name].to_owned(),
            }
        })
        .collect()
}

/// An id that looks random and is not: UUIDv5 (RFC 9562) of its parts.
fn id(kind: u8, organization: u32, index: u32) -> Uuid {
    let name = format!("{kind}/{organization}/{index}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn they_are_all_different_and_coarser_scopes_have_fewer() {
        for count in [1_000, 100_000] {
            let series = all(count);
            let distinct = |key: &dyn Fn(&Series) -> String| {
                series.iter().map(key).collect::<BTreeSet<_>>().len()
            };
            let user = distinct(&|s| format!("{}{}{}", s.organization, s.user, s.name));
            let team = distinct(&|s| format!("{}{}{}", s.organization, s.team, s.name));
            let organization = distinct(&|s| format!("{}{}", s.organization, s.name));
            assert_eq!(user, count as usize);
            assert!(
                organization <= team && team <= user,
                "{organization} {team} {user}"
            );
            assert_eq!(organization, 20 * NAMES.len());
        }
    }
}
