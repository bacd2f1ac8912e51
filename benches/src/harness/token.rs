//! Tokens for the services that are measured.

use std::time::Duration;

use platform::{
    auth::{Identity, Role, issue},
    config::JwtConfig,
};
use uuid::Uuid;

/// Of an administrator of an organization, for as long as the longest stage takes.
///
/// # Errors
/// If the keys are an issuer's.
pub fn of_admin(jwt: &JwtConfig, organization_id: Uuid) -> anyhow::Result<String> {
    let identity = Identity {
        user_id: Uuid::new_v4(),
        organization_id,
        role: Role::Admin,
        team_ids: None,
    };
    issue(jwt, &identity, Duration::from_secs(86_400))
}
