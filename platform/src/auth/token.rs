//! Tokens that we issue: HS256 with the shared secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Identity, Role};
use crate::config::{JwtConfig, JwtKeys};

/// The claims of a token we issue. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: Uuid,
    /// The organization.
    pub organization_id: Uuid,
    /// The user's role there.
    pub role: Role,
    /// When the token ends.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// Who issued it.
    pub iss: String,
    /// Whom it is meant for.
    pub aud: String,
    /// The user's teams, when the issuer knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_ids: Option<Vec<Uuid>>,
}

/// A token for this identity, valid from now for `lifetime` (whole seconds).
///
/// # Errors
/// When the configuration holds public keys, with which nothing can be signed;
/// when signing fails, or the clock stands before 1970.
pub fn issue(
    config: &JwtConfig,
    identity: &Identity,
    lifetime: Duration,
) -> anyhow::Result<String> {
    let JwtKeys::Secret(secret) = &config.keys else {
        bail!(
            "a token can be made with JWT_SECRET alone; with JWT_JWKS_URL it comes from the issuer of those keys"
        );
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?
        .as_secs();
    let claims = Claims {
        sub: identity.user_id,
        organization_id: identity.organization_id,
        role: identity.role,
        exp: now.saturating_add(lifetime.as_secs()),
        iat: now,
        iss: config.issuer.clone(),
        aud: config.audience.clone(),
        team_ids: identity.team_ids.clone(),
    };
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).context("the token cannot be signed")
}
