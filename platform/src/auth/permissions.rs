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
    /// The event is neither the caller's own nor of one of its teams.
    #[error("You may not read this event.")]
    NotYours,
}

impl Denied {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Role => "role_not_allowed",
            Self::NotAsItself => "not_as_itself",
            Self::NotYourTeam => "not_your_team",
            Self::NotYours => "not_yours",
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

/// Whose raw events a caller may read within its organization; for a query's filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    /// Those of this user.
    Own(Uuid),
    /// Those of this user, and everybody's of these teams.
    Teams {
        /// The user.
        user_id: Uuid,
        /// The teams; maybe none.
        team_ids: Vec<Uuid>,
    },
    /// All of the organization.
    All,
}

impl Readable {
    /// What the caller may read: viewers and developers their own events, managers those of
    /// the teams that the token lists too, admins all.
    #[must_use]
    pub fn by(identity: &Identity) -> Self {
        match identity.role {
            Role::Viewer | Role::Developer => Self::Own(identity.user_id),
            Role::Manager => Self::Teams {
                user_id: identity.user_id,
                team_ids: identity.team_ids.clone().unwrap_or_default(),
            },
            Role::Admin => Self::All,
        }
    }

    /// Whether an event of this user and team is among them. One without a user is nobody's
    /// own.
    #[must_use]
    pub fn covers(&self, user_id: Option<Uuid>, team_id: Option<Uuid>) -> bool {
        match self {
            Self::Own(own) => user_id == Some(*own),
            Self::Teams {
                user_id: own,
                team_ids,
            } => user_id == Some(*own) || team_id.is_some_and(|team| team_ids.contains(&team)),
            Self::All => true,
        }
    }
}

/// Whether the caller may read a raw event of this user and team; see [`Readable::by`].
///
/// # Errors
/// [`Denied::NotYours`].
pub fn may_read_event(
    identity: &Identity,
    user_id: Option<Uuid>,
    team_id: Option<Uuid>,
) -> Result<(), Denied> {
    if Readable::by(identity).covers(user_id, team_id) {
        Ok(())
    } else {
        Err(Denied::NotYours)
    }
}

/// What the caller may export: what it may read, but a viewer nothing.
///
/// # Errors
/// [`Denied::Role`].
pub fn may_export(identity: &Identity) -> Result<Readable, Denied> {
    match identity.role {
        Role::Viewer => Err(Denied::Role),
        Role::Developer | Role::Manager | Role::Admin => Ok(Readable::by(identity)),
    }
}

/// Whether the caller may administer its organization: dead letters and their replay, jobs,
/// `/stats` and `/performance`. Admins alone may.
///
/// # Errors
/// [`Denied::Role`].
pub fn may_administer(identity: &Identity) -> Result<(), Denied> {
    match identity.role {
        Role::Admin => Ok(()),
        Role::Manager | Role::Developer | Role::Viewer => Err(Denied::Role),
    }
}

#[cfg(test)]
#[path = "permissions_tests.rs"]
mod tests;
