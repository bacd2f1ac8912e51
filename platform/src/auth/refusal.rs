//! Why a caller is not known: in detail for the operator, in one sentence for the caller.

use std::time::Duration;

use metrics::counter;
use thiserror::Error;
use tracing::debug;

use crate::{http::problem::Problem, telemetry::names};

/// Why a caller is not known. The texts are for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// No bearer token.
    #[error("A bearer token is required in the Authorization header.")]
    Missing,
    /// A token that is not believed. The caller does not hear why: who forges tokens would
    /// learn from it, and who holds a true one needs a new one whatever it is.
    #[error("The token is not valid here.")]
    Invalid(Refusal),
    /// No key has been read yet to verify any token with.
    #[error("Tokens cannot be verified for the time being; the same request may succeed later.")]
    KeysUnavailable {
        /// When the next attempt to read the keys is due.
        retry_after: Duration,
    },
}

/// What is wrong with a token: for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The header or the token does not have the right form.
    Malformed,
    /// It is longer than [`super::MAX_TOKEN_BYTES`].
    TooLong,
    /// Its algorithm is not accepted, or is not its key's.
    Algorithm,
    /// It demands extensions that must be understood (RFC 7515, section 4.1.11), and none is.
    CriticalExtension,
    /// It names no key, or one that is not in the set.
    UnknownKey,
    /// It was not signed with the key, or changed since.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// Somebody else issued it.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// A claim is missing or cannot be read.
    Claims,
}

impl Refusal {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Algorithm => "algorithm",
            Self::CriticalExtension => "critical_extension",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Claims => "claims",
        }
    }
}

impl AuthError {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid(_) => "token_invalid",
            Self::KeysUnavailable { .. } => "keys_unavailable",
        }
    }

    /// The reason's name in logs and metrics.
    fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid(refusal) => refusal.as_str(),
            Self::KeysUnavailable { .. } => "keys_unavailable",
        }
    }

    /// Counts and logs it, once for each refused request.
    pub fn observe(self) {
        let reason = self.reason();
        counter!(names::TOKENS_REFUSED, "reason" => reason).increment(1);
        debug!(reason, "a request without a token that is believed");
    }
}

impl From<Refusal> for AuthError {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(refusal)
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        match error {
            AuthError::Missing => Self::unauthenticated(code, detail),
            AuthError::Invalid(_) => Self::unauthorized(code, detail),
            AuthError::KeysUnavailable { retry_after } => {
                Self::unavailable(code, detail, retry_after)
            }
        }
    }
}
