//! JSON Web Tokens (RFC 7519), HS256 with a shared secret.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::{Identity, Role};
use crate::{config::JwtConfig, http::problem::Problem};

/// The only algorithm that is accepted, whatever a token's header says.
const ALGORITHM: Algorithm = Algorithm::HS256;

/// Why a caller is not known. The texts are for the caller: they say what to
/// mend and nothing of what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// No `Authorization` header.
    #[error("A bearer token is required in the Authorization header.")]
    Missing,
    /// The header or the token does not have the right form.
    #[error("The Authorization header does not hold one well-formed bearer token.")]
    Malformed,
    /// `exp` has passed.
    #[error("The token has expired.")]
    Expired,
    /// Signature, algorithm, issuer, audience or a required claim is wrong.
    #[error("The token is not valid here.")]
    Invalid,
}

impl AuthError {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed => "token_malformed",
            Self::Expired => "token_expired",
            Self::Invalid => "token_invalid",
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::unauthenticated(error.code(), error.to_string()),
            _ => Self::unauthorized(error.code(), error.to_string()),
        }
    }
}

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

/// What we read of an accepted token. Other issuers write the registered
/// claims in more forms (`aud` as an array, `exp` with a fraction), and those
/// the library has checked.
#[derive(Deserialize)]
struct AcceptedClaims {
    sub: Uuid,
    organization_id: Uuid,
    role: Role,
    team_ids: Option<Vec<Uuid>>,
}

/// Turns tokens into identities.
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    /// One that believes what was signed with the configured secret, by the
    /// configured issuer, for the configured audience.
    #[must_use]
    pub fn new(config: &JwtConfig) -> Self {
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        // Setting a value does not make its claim required.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = config.leeway.as_secs();
        Self {
            key: DecodingKey::from_secret(config.secret.expose_secret().as_bytes()),
            validation,
        }
    }

    /// Who holds this token.
    ///
    /// # Errors
    /// [`AuthError`], never [`AuthError::Missing`].
    pub fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        let data = decode::<AcceptedClaims>(token, &self.key, &self.validation)
            .map_err(|error| kind_of(error.kind()))?;
        // RFC 7515, section 4.1.11: critical extensions that are not
        // understood, and we understand none, make the token invalid.
        if data.header.crit.is_some() {
            return Err(AuthError::Invalid);
        }
        let AcceptedClaims {
            sub,
            organization_id,
            role,
            team_ids,
        } = data.claims;
        Ok(Identity {
            user_id: sub,
            organization_id,
            role,
            team_ids,
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithm", &ALGORITHM)
            .finish_non_exhaustive()
    }
}

fn kind_of(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => AuthError::Malformed,
        _ => AuthError::Invalid,
    }
}

/// A token for this identity, valid from now for `lifetime` (whole seconds).
///
/// # Errors
/// When signing fails, or the clock stands before 1970.
pub fn issue(
    config: &JwtConfig,
    identity: &Identity,
    lifetime: Duration,
) -> anyhow::Result<String> {
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
    let key = EncodingKey::from_secret(config.secret.expose_secret().as_bytes());
    encode(&Header::new(ALGORITHM), &claims, &key).context("the token cannot be signed")
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
