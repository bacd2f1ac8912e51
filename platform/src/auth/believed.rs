//! Tokens that were believed a moment ago: a client sends the same one with each request, and
//! to verify it takes longer than much of what it asks for.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use moka::sync::Cache;

use super::{Identity, jwks::KeySet};

/// Bytes of tokens and of what they say.
const MOST_BYTES: u64 = 4 << 20;
/// What one takes besides its text, about.
const OVERHEAD: usize = 300;
/// For how long one is not verified again.
const LIFETIME: Duration = Duration::from_secs(60);

/// Tokens, each as a whole, and what they say.
#[derive(Debug)]
pub(super) struct Believed(Cache<String, Verdict>);

#[derive(Debug, Clone)]
struct Verdict {
    identity: Identity,
    end: SystemTime,
    /// The set that its key was in; none of a shared secret.
    keys: Option<Arc<KeySet>>,
}

impl Believed {
    pub(super) fn new() -> Self {
        let memory = Cache::builder()
            .weigher(|token: &String, _| u32::try_from(token.len() + OVERHEAD).unwrap_or(u32::MAX))
            .max_capacity(MOST_BYTES)
            .time_to_live(LIFETIME)
            .build();
        Self(memory)
    }

    /// What a token says, if it was believed with these very keys and has not ended by `now`.
    pub(super) fn get(
        &self,
        token: &str,
        keys: Option<&Arc<KeySet>>,
        now: SystemTime,
    ) -> Option<(Identity, SystemTime)> {
        let verdict = self.0.get(token)?;
        let is_same = match (&verdict.keys, keys) {
            (None, None) => true,
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            _ => false,
        };
        (is_same && now < verdict.end).then_some((verdict.identity, verdict.end))
    }

    /// Notes what a token says that was verified with these keys.
    pub(super) fn note(
        &self,
        token: &str,
        keys: Option<Arc<KeySet>>,
        (identity, end): (Identity, SystemTime),
    ) {
        let verdict = Verdict {
            identity,
            end,
            keys,
        };
        self.0.insert(token.to_owned(), verdict);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::auth::Role;

    fn says() -> (Identity, SystemTime) {
        let identity = Identity {
            user_id: Uuid::from_u128(1),
            organization_id: Uuid::from_u128(2),
            role: Role::Viewer,
            team_ids: Some(vec![Uuid::from_u128(3)]),
        };
        (identity, SystemTime::UNIX_EPOCH + Duration::from_secs(100))
    }

    #[test]
    fn a_token_is_believed_as_a_whole_and_until_it_ends() {
        let believed = Believed::new();
        believed.note("a.b.c", None, says());
        let (_, end) = says();
        let before = end - Duration::from_nanos(1);
        assert_eq!(believed.get("a.b.c", None, before), Some(says()));
        assert_eq!(believed.get("a.b.c", None, end), None);
        for other in ["a.b.d", "a.b.", "a.b.cc", ""] {
            assert_eq!(believed.get(other, None, before), None, "{other}");
        }
    }

    #[test]
    fn with_other_keys_it_is_verified_again() {
        let set = || Arc::new(KeySet::parse(br#"{"keys": []}"#, &[]).unwrap().0);
        let (keys, same_text) = (set(), set());
        let (believed, now) = (Believed::new(), SystemTime::UNIX_EPOCH);
        believed.note("a.b.c", Some(Arc::clone(&keys)), says());
        assert_eq!(believed.get("a.b.c", Some(&keys), now), Some(says()));
        assert_eq!(believed.get("a.b.c", Some(&same_text), now), None);
        assert_eq!(believed.get("a.b.c", None, now), None);
    }
}
