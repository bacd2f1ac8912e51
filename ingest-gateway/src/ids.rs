//! The ids of events that name none.

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
        /// The key.
        key: String,
    },
    /// A new one each time.
    Fresh,
}

impl EventIds {
    pub(crate) fn new(organization: Uuid, key: Option<String>) -> Self {
        match key {
            Some(key) => Self::Derived { organization, key },
            None => Self::Fresh,
        }
    }

    /// The id of the event at `index` among those of its kind.
    pub(crate) fn id(&self, kind: EventKind, index: usize) -> Uuid {
        match self {
            // The key comes last: it may hold colons, what precedes it does not.
            Self::Derived { organization, key } => {
                Uuid::new_v5(organization, format!("{kind}:{index}:{key}").as_bytes())
            }
            Self::Fresh => Uuid::now_v7(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn derived(organization: u128, key: &str) -> EventIds {
        EventIds::new(Uuid::from_u128(organization), Some(key.to_owned()))
    }

    #[test]
    fn every_part_makes_another_id_and_equal_parts_the_same() {
        let mut seen = HashSet::new();
        for ids in [
            derived(1, "a"),
            derived(2, "a"),
            derived(1, "1:a"),
            derived(1, "A"),
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
        let id = derived(1, "night").id(EventKind::AgentInteraction, 3);
        let name = b"agent_interaction:3:night";
        assert_eq!(id, Uuid::new_v5(&Uuid::from_u128(1), name));
    }

    #[test]
    fn without_a_key_ids_are_new_and_in_the_order_of_time() {
        let ids = EventIds::new(Uuid::nil(), None);
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
            let same = derived(1, &a).id(kind, i) == derived(1, &b).id(kind, j);
            prop_assert_eq!(same, a == b && i == j);
        }
    }
}
