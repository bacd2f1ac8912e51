//! What each role may (contract, section 1), as pure functions.

use thiserror::Error;
use uuid::Uuid;

use super::{Identity, Role};
use crate::http::problem::Problem;

/// Why someone may not. The texts are for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denied {
    /// The role may not do this at all.
    #[error("Your role does not allow this.")]
    Role,
    /// A developer posted for someone else, or for nobody.
    #[error("You may only post events with your own user_id.")]
    NotAsItself,
    /// The event's team is none of the user's.
    #[error("You may only post events for teams you belong to.")]
    NotYourTeam,
}

impl Denied {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Role => "role_not_allowed",
            Self::NotAsItself => "not_as_itself",
            Self::NotYourTeam => "not_your_team",
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::forbidden(denied.code(), denied.to_string())
    }
}

/// Whether the caller may post an event of this user and team.
///
/// - A viewer never may.
/// - A developer may as itself. An event without a user is nobody's, so not
///   its own. When the token lists teams, the event's team must be one.
/// - A manager may as a developer may, and for anyone when the event's team is
///   one of those the token lists.
/// - An admin may for anyone in the organization.
///
/// # Errors
/// Why not.
pub fn may_post_for(
    identity: &Identity,
    user_id: Option<Uuid>,
    team_id: Option<Uuid>,
) -> Result<(), Denied> {
    match identity.role {
        Role::Viewer => Err(Denied::Role),
        Role::Admin => Ok(()),
        Role::Manager if team_id.is_some_and(|team| identity.belongs_to(team)) => Ok(()),
        // A manager is here without a team of its own in the event.
        Role::Manager if user_id != Some(identity.user_id) => Err(Denied::NotYourTeam),
        Role::Manager | Role::Developer => as_itself(identity, user_id, team_id),
    }
}

fn as_itself(
    identity: &Identity,
    user_id: Option<Uuid>,
    team_id: Option<Uuid>,
) -> Result<(), Denied> {
    if user_id != Some(identity.user_id) {
        return Err(Denied::NotAsItself);
    }
    match team_id {
        Some(team) if identity.team_ids.is_some() && !identity.belongs_to(team) => {
            Err(Denied::NotYourTeam)
        }
        _ => Ok(()),
    }
}

/// Whether the caller may read aggregates and dashboards of its organization:
/// every role may.
///
/// # Errors
/// None today; handlers ask all the same, so that the rule has one place.
pub fn may_read_aggregates(identity: &Identity) -> Result<(), Denied> {
    match identity.role {
        Role::Admin | Role::Manager | Role::Developer | Role::Viewer => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);
    const MINE: Uuid = Uuid::from_u128(10);
    const FOREIGN: Uuid = Uuid::from_u128(11);

    fn identity(role: Role, team_ids: Option<Vec<Uuid>>) -> Identity {
        Identity {
            user_id: ME,
            organization_id: Uuid::from_u128(9),
            role,
            team_ids,
        }
    }

    #[test]
    fn the_whole_table_of_who_may_post_for_whom() {
        const YES: Result<(), Denied> = Ok(());
        const ROLE: Result<(), Denied> = Err(Denied::Role);
        const SELF: Result<(), Denied> = Err(Denied::NotAsItself);
        const TEAM: Result<(), Denied> = Err(Denied::NotYourTeam);
        let listed = Some(vec![MINE]);
        let none_listed = Some(vec![]);
        // Per event: (viewer, developer, manager, admin).
        let tables = [
            (
                &listed,
                [
                    ((Some(ME), None), [ROLE, YES, YES, YES]),
                    ((Some(ME), Some(MINE)), [ROLE, YES, YES, YES]),
                    ((Some(ME), Some(FOREIGN)), [ROLE, TEAM, TEAM, YES]),
                    ((Some(OTHER), None), [ROLE, SELF, TEAM, YES]),
                    ((Some(OTHER), Some(MINE)), [ROLE, SELF, YES, YES]),
                    ((Some(OTHER), Some(FOREIGN)), [ROLE, SELF, TEAM, YES]),
                    ((None, None), [ROLE, SELF, TEAM, YES]),
                    ((None, Some(MINE)), [ROLE, SELF, YES, YES]),
                    ((None, Some(FOREIGN)), [ROLE, SELF, TEAM, YES]),
                ],
            ),
            (
                &none_listed,
                [
                    ((Some(ME), None), [ROLE, YES, YES, YES]),
                    ((Some(ME), Some(MINE)), [ROLE, TEAM, TEAM, YES]),
                    ((Some(ME), Some(FOREIGN)), [ROLE, TEAM, TEAM, YES]),
                    ((Some(OTHER), None), [ROLE, SELF, TEAM, YES]),
                    ((Some(OTHER), Some(MINE)), [ROLE, SELF, TEAM, YES]),
                    ((Some(OTHER), Some(FOREIGN)), [ROLE, SELF, TEAM, YES]),
                    ((None, None), [ROLE, SELF, TEAM, YES]),
                    ((None, Some(MINE)), [ROLE, SELF, TEAM, YES]),
                    ((None, Some(FOREIGN)), [ROLE, SELF, TEAM, YES]),
                ],
            ),
            (
                &None,
                [
                    ((Some(ME), None), [ROLE, YES, YES, YES]),
                    ((Some(ME), Some(MINE)), [ROLE, YES, YES, YES]),
                    ((Some(ME), Some(FOREIGN)), [ROLE, YES, YES, YES]),
                    ((Some(OTHER), None), [ROLE, SELF, TEAM, YES]),
                    ((Some(OTHER), Some(MINE)), [ROLE, SELF, TEAM, YES]),
                    ((Some(OTHER), Some(FOREIGN)), [ROLE, SELF, TEAM, YES]),
                    ((None, None), [ROLE, SELF, TEAM, YES]),
                    ((None, Some(MINE)), [ROLE, SELF, TEAM, YES]),
                    ((None, Some(FOREIGN)), [ROLE, SELF, TEAM, YES]),
                ],
            ),
        ];
        for (teams, rows) in tables {
            for ((user, team), expected) in rows {
                let roles = [Role::Viewer, Role::Developer, Role::Manager, Role::Admin];
                for (role, expected) in roles.into_iter().zip(expected) {
                    let verdict = may_post_for(&identity(role, teams.clone()), user, team);
                    assert_eq!(
                        verdict, expected,
                        "{role} of {teams:?} for {user:?} in {team:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_role_reads_aggregates() {
        for role in Role::ALL {
            assert_eq!(may_read_aggregates(&identity(role, None)), Ok(()));
        }
    }

    #[test]
    fn a_denial_is_a_403_with_a_stable_code() {
        let problem = Problem::from(Denied::NotYourTeam);
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (403, "not_your_team")
        );
    }
}
