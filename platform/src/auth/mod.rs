//! Who calls, and what they may.
//!
//! ```text
//! Authorization ─ extract ─▶ token ─ header ─▶ kid, algorithm ─ verifier ─▶ Identity ─ permissions
//!                               key set ─ source, jwks, keyring ─▶ key ─┘
//! ```
//!
//! [`Verifier`] turns a bearer token into an [`Identity`]; `permissions` holds
//! what each role may, as pure functions.

mod believed;
mod extract;
mod header;
mod jwks;
mod keyring;
mod permissions;
mod refusal;
mod source;
mod token;
mod verifier;

#[cfg(test)]
mod forgery_tests;
#[cfg(test)]
mod jwks_tests;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod test_issuer;
#[cfg(test)]
mod test_keys;

pub use extract::bearer_token;
pub use permissions::{
    Denied, Readable, may_administer, may_export, may_post_for, may_read_aggregates, may_read_event,
};
pub use refusal::{AuthError, Refusal};
pub use token::{Claims, issue};
pub use verifier::{MAX_TOKEN_BYTES, Verifier};

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a user is in the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May everything within the organization.
    Admin,
    /// Answers for teams.
    Manager,
    /// Posts as itself.
    Developer,
    /// Reads.
    Viewer,
}

impl Role {
    /// All roles, from the mightiest.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Manager, Self::Developer, Self::Viewer];

    /// Its name in a token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or("must be admin, manager, developer or viewer")
    }
}

/// Who calls, as the token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: Uuid,
    /// The organization, the only one this caller can read or write.
    pub organization_id: Uuid,
    /// What the user is there.
    pub role: Role,
    /// The user's teams. `None` when the token does not say: then a user's
    /// own events are not checked for their team, but no other right follows.
    pub team_ids: Option<Vec<Uuid>>,
}

impl Identity {
    /// Whether the token says that the user belongs to the team.
    #[must_use]
    pub fn belongs_to(&self, team_id: Uuid) -> bool {
        self.team_ids
            .as_ref()
            .is_some_and(|teams| teams.contains(&team_id))
    }
}
