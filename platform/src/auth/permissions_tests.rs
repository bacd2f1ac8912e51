//! The whole table of who may what.

use super::*;

const ME: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const MINE: Uuid = Uuid::from_u128(10);
const FOREIGN: Uuid = Uuid::from_u128(11);
const ROLES: [Role; 4] = [Role::Viewer, Role::Developer, Role::Manager, Role::Admin];

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
            for (role, expected) in ROLES.into_iter().zip(expected) {
                let verdict = may_post_for(&identity(role, teams.clone()), user, team);
                assert_eq!(
                    verdict, expected,
                    "{role} of {teams:?} for {user:?} in {team:?}"
                );
            }
        }
    }
}

/// A row of a table: an event's user and team, and whether viewer, developer, manager and
/// admin may.
type Row = ((Option<Uuid>, Option<Uuid>), [bool; 4]);

#[test]
fn the_whole_table_of_who_may_read_whose_events() {
    // A developer reads its own events even of a team that it has left.
    let own: [Row; 3] = [
        ((Some(ME), None), [true; 4]),
        ((Some(ME), Some(MINE)), [true; 4]),
        ((Some(ME), Some(FOREIGN)), [true; 4]),
    ];
    let foreign: [Row; 4] = [
        ((Some(OTHER), None), [false, false, false, true]),
        ((Some(OTHER), Some(FOREIGN)), [false, false, false, true]),
        ((None, None), [false, false, false, true]),
        ((None, Some(FOREIGN)), [false, false, false, true]),
    ];
    let of_my_team = |manager| -> [Row; 2] {
        let may = [false, false, manager, true];
        [((Some(OTHER), Some(MINE)), may), ((None, Some(MINE)), may)]
    };
    for (teams, manager) in [
        (Some(vec![MINE]), true),
        (Some(vec![]), false),
        (None, false),
    ] {
        for ((user, team), may) in own.into_iter().chain(foreign).chain(of_my_team(manager)) {
            for (role, may) in ROLES.into_iter().zip(may) {
                let caller = identity(role, teams.clone());
                let expected = if may { Ok(()) } else { Err(Denied::NotYours) };
                assert_eq!(
                    may_read_event(&caller, user, team),
                    expected,
                    "{role} of {teams:?} reads {user:?} in {team:?}"
                );
                assert_eq!(Readable::by(&caller).covers(user, team), may);
            }
        }
    }
}

#[test]
fn what_is_readable_is_also_exported_but_by_viewers() {
    let (one, none) = (Some(vec![MINE]), None);
    let teams = |team_ids| Readable::Teams {
        user_id: ME,
        team_ids,
    };
    for (role, teams, expected) in [
        (Role::Viewer, &one, Err(Denied::Role)),
        (Role::Developer, &one, Ok(Readable::Own(ME))),
        (Role::Developer, &none, Ok(Readable::Own(ME))),
        (Role::Manager, &one, Ok(teams(vec![MINE]))),
        (Role::Manager, &none, Ok(teams(vec![]))),
        (Role::Admin, &none, Ok(Readable::All)),
    ] {
        assert_eq!(
            may_export(&identity(role, teams.clone())),
            expected,
            "{role}"
        );
    }
}

#[test]
fn admins_alone_administer() {
    for (role, expected) in ROLES.into_iter().zip([
        Err(Denied::Role),
        Err(Denied::Role),
        Err(Denied::Role),
        Ok(()),
    ]) {
        let caller = identity(role, Some(vec![MINE]));
        assert_eq!(may_administer(&caller), expected, "{role}");
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
    for (denied, code) in [
        (Denied::Role, "role_not_allowed"),
        (Denied::NotAsItself, "not_as_itself"),
        (Denied::NotYourTeam, "not_your_team"),
        (Denied::NotYours, "not_yours"),
    ] {
        let problem = Problem::from(denied);
        assert_eq!((problem.status().as_u16(), problem.code()), (403, code));
    }
}
