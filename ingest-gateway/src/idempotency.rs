//! Which request used which key: the same key with another payload is a client's mistake,
//! and two events would share one id if it were let through.
//!
//! The keys are remembered in memory, by this instance, for a day. After a restart, or at
//! another instance, a key is unknown: the same payload still counts once, because its ids
//! are derived from organization, caller, key, kind and index ([`crate::ids`]) and
//! consumers drop what they saw; another payload under a used key is then found out in
//! admission, which sees one id with two contents.

use std::time::Duration;

use axum::http::StatusCode;
use moka::{policy::EvictionPolicy, sync::Cache};
use platform::{auth::Identity, http::problem::Problem};
use sha2::{Digest, Sha256};

use crate::request::JsonBody;

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3600);

type Hash = [u8; 32];

/// One request's claim to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Of organization, caller and key: of one size, however long the key.
    slot: Hash,
    /// Of the call and the body.
    payload: Hash,
}

impl Claim {
    /// The claim of a request that has a key.
    pub(crate) fn of(
        identity: &Identity,
        key: Option<&str>,
        call: &str,
        body: &JsonBody,
    ) -> Option<Self> {
        key.map(|key| Self::new(identity, key, call, body.bytes()))
    }

    /// What `identity` sends under `key`: to which call, and the body's bytes without any
    /// content coding. Bodies that differ in a blank alone are different payloads.
    fn new(identity: &Identity, key: &str, call: &str, body: &[u8]) -> Self {
        let (organization, caller) = (identity.organization_id, identity.user_id);
        Self {
            slot: hash(&[organization.as_bytes(), caller.as_bytes(), key.as_bytes()]),
            // A call's name holds no zero byte, so it ends where the body begins.
            payload: hash(&[call.as_bytes(), b"\0", body]),
        }
    }
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The key was used for another payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key was used for another payload")]
pub(crate) struct Reused;

impl From<Reused> for Problem {
    fn from(_: Reused) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "You used this Idempotency-Key or batch_id for another request within the last 24 hours. Send a new request under a new key, and a retry exactly as it was.",
        )
    }
}

/// The keys used lately. Its functions are async so that a store shared by several
/// instances can take its place.
#[derive(Debug, Clone)]
pub(crate) struct UsedKeys {
    kept: Cache<Hash, Hash>,
}

impl UsedKeys {
    /// Remembers `capacity` keys, the latest ones.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            kept: Cache::builder()
                .max_capacity(capacity)
                // The default policy may refuse a newcomer in favour of what is asked for often.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(KEPT)
                .build(),
        }
    }

    /// Notes that the key is used, or finds that this payload used it. `true`: by this call.
    /// To be called when the first sound event of a request is about to be published, so
    /// that a request refused whole does not use up its key.
    ///
    /// # Errors
    /// Another payload used the key.
    pub(crate) async fn claim(&self, claim: &Claim) -> Result<bool, Reused> {
        let entry = self.kept.entry(claim.slot).or_insert(claim.payload);
        if *entry.value() == claim.payload {
            Ok(entry.is_fresh())
        } else {
            Err(Reused)
        }
    }

    /// Forgets a claim of which nothing came: nothing of the request can be in the log.
    pub(crate) async fn release(&self, claim: &Claim) {
        self.kept.invalidate(&claim.slot);
    }
}

#[cfg(test)]
mod tests {
    use platform::auth::Role;
    use uuid::Uuid;

    use super::*;

    fn claim(organization: u128, user: u128, key: &str, call: &str, body: &str) -> Claim {
        let identity = Identity {
            user_id: Uuid::from_u128(user),
            organization_id: Uuid::from_u128(organization),
            role: Role::Developer,
            team_ids: None,
        };
        Claim::new(&identity, key, call, body.as_bytes())
    }

    #[tokio::test]
    async fn a_key_belongs_to_its_first_payload() {
        let keys = UsedKeys::new(100);
        let first = claim(1, 1, "k", "commands", "{}");
        assert_eq!(keys.claim(&first).await, Ok(true));
        assert_eq!(keys.claim(&first).await, Ok(false), "a retry");
        for other in [
            claim(1, 1, "k", "commands", "{ }"),
            claim(1, 1, "k", "batch", "{}"),
        ] {
            assert_eq!(keys.claim(&other).await, Err(Reused));
        }
        for elsewhere in [
            claim(2, 1, "k", "commands", "[]"),
            claim(1, 2, "k", "commands", "[]"),
            claim(1, 1, "K", "commands", "[]"),
        ] {
            assert_eq!(keys.claim(&elsewhere).await, Ok(true));
        }
        keys.release(&first).await;
        let mended = claim(1, 1, "k", "commands", "[]");
        assert_eq!(keys.claim(&mended).await, Ok(true));
    }

    #[tokio::test]
    async fn the_oldest_keys_are_forgotten_when_there_are_too_many() {
        let keys = UsedKeys::new(10);
        let nth = |n: usize| claim(1, 1, &n.to_string(), "commands", "{}");
        for n in 0..50 {
            assert_eq!(keys.claim(&nth(n)).await, Ok(true));
        }
        keys.kept.run_pending_tasks();
        assert_eq!(keys.kept.entry_count(), 10);
        assert_eq!(keys.claim(&nth(49)).await, Ok(false));
        assert_eq!(keys.claim(&nth(0)).await, Ok(true));
    }
}
