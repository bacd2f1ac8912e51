//! The ids of events that name none.

use platform::auth::Identity;
use schemas::EventKind;
use uuid::Uuid;

/// How the events of one request get their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventIds {
    /// From the request's key: a retried request gives the same ids, and consumers count
    /// one id once.
    Derived {
        /// The organization whose key it is.
        organization: Uuid,
        /// The caller: keys are each one's own, or one could take another's ids.
        caller: Uuid,
        /// The key.
        key: String,
    },
    /// A new one each time.
    Fresh,
}

impl EventIds {
    pub(crate) fn new(identity: &Identity, key: Option<String>) -> Self {
        match key {
            Some(key) => Self::Derived {
                organization: identity.organization_id,
                caller: identity.user_id,
                key,
            },
            None => Self::Fresh,
        }
    }

    /// The id of the event at `index` among those of its kind.
    pub(crate) fn id(&self, kind: EventKind, index: usize) -> Uuid {
        match self {
            // The key comes last: it may hold colons, what precedes it does not.
            Self::Derived {
                organization,
                caller,
                key,
            } => Uuid::new_v5(
                organization,
                format!("{caller}:{kind}:{index}:{key}").as_bytes(),
            ),
            Self::Fresh => Uuid::now_v7(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use platform::auth::Role;
    use proptest::prelude::*;

    use super::*;

    fn identity(organization: u128, user: u128) -> Identity {
        Identity {
            user_id: Uuid::from_u128(user),
            organization_id: Uuid::from_u128(organization),
            role: Role::Admin,
            team_ids: None,
        }
    }

    fn derived(organization: u128, user: u128, key: &str) -> EventIds {
        EventIds::new(&identity(organization, user), Some(key.to_owned()))
    }

    #[test]
    fn every_part_makes_another_id_and_equal_parts_the_same() {
        let mut seen = HashSet::new();
        for ids in [
            derived(1, 1, "a"),
            derived(1, 2, "a"),
            derived(2, 1, "a"),
            derived(1, 1, "1:a"),
            derived(1, 1, "A"),
        ] {
            for kind in EventKind::ALL {
                for index in [0, 1, 11] {
                    assert!(seen.insert(ids.id(kind, index)));
                    assert_eq!(ids.id(kind, index), ids.clone().id(kind, index));
                }
            }
        }
        assert!(seen.iter().all(|id| id.get_version_num() == 5));
    }

    #[test]
    fn clients_can_rely_on_how_ids_are_derived() {
        // A change here would count requests twice that are retried over an update.
        let id = derived(1, 2, "night").id(EventKind::AgentInteraction, 3);
        let name = b"00000000-0000-0000-0000-000000000002:agent_interaction:3:night";
        assert_eq!(id, Uuid::new_v5(&Uuid::from_u128(1), name));
    }

    #[test]
    fn without_a_key_ids_are_new_and_in_the_order_of_time() {
        let ids = EventIds::new(&identity(1, 1), None);
        let (a, b) = (
            ids.id(EventKind::UserSession, 0),
            ids.id(EventKind::UserSession, 0),
        );
        assert!(a < b);
        assert_eq!(a.get_version_num(), 7);
    }

    proptest! {
        #[test]
        fn different_keys_never_share_an_id(a in ".{1,20}", b in ".{1,20}", i in 0..20usize, j in 0..20usize) {
            let kind = EventKind::CommandExecution;
            let same = derived(1, 1, &a).id(kind, i) == derived(1, 1, &b).id(kind, j);
            prop_assert_eq!(same, a == b && i == j);
        }
    }
}
