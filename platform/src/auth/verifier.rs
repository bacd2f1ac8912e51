//! From a bearer token to an identity.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, errors::ErrorKind};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    AuthError, Identity, Refusal, Role, believed::Believed, header::TokenHeader, jwks::KeySet,
    keyring::Keyring,
};
use crate::{
    config::{JwtConfig, JwtKeys},
    http::health::{CheckDetail, Health},
};

/// The most bytes of a token; ours have some 400.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Later than any token ends that is meant to: in the year 4970.
const FOR_EVER: Duration = Duration::from_secs(3000 * 365 * 86_400);

/// What we read of an accepted token. Other issuers write the registered
/// claims in more forms (`aud` as an array, `exp` with a fraction), and those
/// the library has checked.
#[derive(Deserialize)]
struct AcceptedClaims {
    sub: Uuid,
    organization_id: Uuid,
    role: Role,
    team_ids: Option<Vec<Uuid>>,
    /// Seconds since 1970, maybe with a fraction.
    exp: f64,
}

/// Turns tokens into identities.
pub struct Verifier {
    keys: Keys,
    /// One for each algorithm that is accepted, so that what is checked depends on the key
    /// and never on what else is accepted.
    validations: Vec<Validation>,
    believed: Believed,
}

enum Keys {
    Secret(DecodingKey),
    Public(Keyring),
}

impl Verifier {
    /// One that believes what was signed with the configured keys by one of the configured
    /// algorithms, by the configured issuer, for the configured audience.
    ///
    /// A key set is read in the background until the verifier is dropped; then this must be
    /// called within a Tokio runtime. That the set cannot be read is no failure here: until
    /// it can, tokens are answered with [`AuthError::KeysUnavailable`].
    ///
    /// # Errors
    /// When the HTTP client for a key set cannot be made.
    pub fn start(config: &JwtConfig) -> anyhow::Result<Self> {
        let keys = match &config.keys {
            JwtKeys::Secret(secret) => {
                Keys::Secret(DecodingKey::from_secret(secret.expose_secret().as_bytes()))
            }
            JwtKeys::Jwks(jwks) => Keys::Public(Keyring::start(jwks, &config.algorithms)?),
        };
        let validation = |algorithm: &Algorithm| {
            let mut validation = Validation::new(*algorithm);
            validation.set_issuer(&[&config.issuer]);
            validation.set_audience(&[&config.audience]);
            // Setting a value does not make its claim required.
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            validation.validate_nbf = true;
            validation.leeway = config.leeway.as_secs();
            validation
        };
        Ok(Self {
            keys,
            validations: config.algorithms.iter().map(validation).collect(),
            believed: Believed::new(),
        })
    }

    /// Adds the check `keys` to `health`: down until a key set was read. In a later outage
    /// tokens are verified with the keys read before, and nothing is down.
    pub fn watch(self: &Arc<Self>, health: &Health) {
        let Keys::Public(_) = &self.keys else { return };
        // A register outlives what it asks about, and would keep the background task alive.
        let verifier = Arc::downgrade(self);
        health.check("keys", move || {
            let loaded = verifier.upgrade().is_some_and(|verifier| verifier.ready());
            async move {
                if loaded {
                    Ok(CheckDetail::none())
                } else {
                    Err("no key set was read yet".to_owned())
                }
            }
        });
    }

    pub(super) fn ready(&self) -> bool {
        match &self.keys {
            Keys::Secret(_) => true,
            Keys::Public(keyring) => keyring.current().is_some(),
        }
    }

    /// Who holds this token. A token that names an unknown key waits while the key set is
    /// read again, unless that was done less than a cooldown ago.
    ///
    /// # Errors
    /// [`AuthError`], never [`AuthError::Missing`]. It is counted and logged here.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        let (identity, _) = self.verify_until(token).await?;
        Ok(identity)
    }

    /// The same, and when the token expires: whoever is answered for longer than a moment is
    /// to be believed no longer than that.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub async fn verify_until(&self, token: &str) -> Result<(Identity, SystemTime), AuthError> {
        let verdict = self.judge(token, Instant::now()).await;
        verdict.inspect_err(|error| error.observe())
    }

    /// The identity as of an instant.
    #[cfg(test)]
    pub(super) async fn verify_at(&self, token: &str, at: Instant) -> Result<Identity, AuthError> {
        let (identity, _) = self.judge(token, at).await?;
        Ok(identity)
    }

    /// As of an instant, which the cooldown is counted to. (`exp` and `nbf` are compared with
    /// the system's clock.)
    async fn judge(&self, token: &str, at: Instant) -> Result<(Identity, SystemTime), AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong.into());
        }
        let current = match &self.keys {
            Keys::Secret(_) => None,
            Keys::Public(keyring) => keyring.current(),
        };
        let believed = self
            .believed
            .get(token, current.as_ref(), SystemTime::now());
        if let Some(said) = believed {
            return Ok(said);
        }
        let (said, keys) = self.examine(token, current, at).await?;
        self.believed.note(token, keys, said.clone());
        Ok(said)
    }

    /// What a token says that nobody has seen before, and with which set of keys it is believed.
    async fn examine(
        &self,
        token: &str,
        current: Option<Arc<KeySet>>,
        at: Instant,
    ) -> Result<((Identity, SystemTime), Option<Arc<KeySet>>), AuthError> {
        let header = TokenHeader::read(token)?;
        let mut validations = self.validations.iter();
        let validation = validations
            .find(|validation| validation.algorithms == [header.algorithm])
            .ok_or(Refusal::Algorithm)?;
        let keyring = match &self.keys {
            // One secret has no name to be told apart by.
            Keys::Secret(secret) => return Ok((believe(token, secret, validation)?, None)),
            Keys::Public(keyring) => keyring,
        };
        if let Some(keys) = current {
            match keys.find(&header) {
                Err(Refusal::UnknownKey) => {}
                found => return Ok((believe(token, found?, validation)?, Some(keys))),
            }
        }
        let Some(keys) = keyring.refetched(at).await else {
            let retry_after = keyring.cooldown();
            return Err(AuthError::KeysUnavailable { retry_after });
        };
        Ok((believe(token, keys.find(&header)?, validation)?, Some(keys)))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.validations.iter().flat_map(|v| &v.algorithms);
        f.debug_struct("Verifier")
            .field("algorithms", &algorithms.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The identity and the end of a token that was signed with this key and whose claims hold now.
fn believe(
    token: &str,
    key: &DecodingKey,
    validation: &Validation,
) -> Result<(Identity, SystemTime), Refusal> {
    let data =
        decode::<AcceptedClaims>(token, key, validation).map_err(|error| refusal(error.kind()))?;
    let AcceptedClaims {
        sub,
        organization_id,
        role,
        team_ids,
        exp,
    } = data.claims;
    let identity = Identity {
        user_id: sub,
        organization_id,
        role,
        team_ids,
    };
    // It has not passed, so it is positive; what no clock reaches is for ever.
    let lifetime = Duration::try_from_secs_f64(exp).unwrap_or(Duration::MAX);
    let end = UNIX_EPOCH
        .checked_add(lifetime)
        .unwrap_or_else(|| UNIX_EPOCH + FOR_EVER);
    Ok((identity, end))
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYetValid,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        // The header was read before, so what is no JSON is the claims.
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::InvalidSubject
        | ErrorKind::Json(_) => Refusal::Claims,
        _ => Refusal::Malformed,
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
