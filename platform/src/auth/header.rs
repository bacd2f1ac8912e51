//! A token's header: what is read of it before any signature is checked.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, de::IgnoredAny};

use super::Refusal;

/// What a token says of its own signature (RFC 7515, section 4.1). Nothing of it is believed:
/// it only chooses among the keys and algorithms that the configuration accepts. A key, or
/// an address of one, that a token brings along (`jwk`, `jku`, `x5u`, `x5c`) is not looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenHeader {
    pub(super) algorithm: Algorithm,
    /// `kid`, the name of the key.
    pub(super) key_id: Option<String>,
}

#[derive(Deserialize)]
struct Fields {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl TokenHeader {
    /// # Errors
    /// When the token has not three parts, its header cannot be read, names an algorithm that
    /// is not known (`none` is not), or demands extensions.
    pub(super) fn read(token: &str) -> Result<Self, Refusal> {
        let mut parts = token.split('.');
        let (Some(header), Some(_), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let json = BASE64_URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| Refusal::Malformed)?;
        let Fields { alg, kid, crit } =
            serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)?;
        if crit.is_some() {
            return Err(Refusal::CriticalExtension);
        }
        Ok(Self {
            algorithm: alg.parse().map_err(|_| Refusal::Algorithm)?,
            key_id: kid,
        })
    }
}
