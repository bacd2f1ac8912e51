//! The names of the topics.

use crate::EventKind;

/// The topics of one installation; a prefix keeps several apart on one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topics {
    prefix: String,
}

impl Topics {
    /// Topics whose names begin with `prefix`, which may be empty.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The topic of an event kind.
    pub fn events(&self, kind: EventKind) -> String {
        format!("{}metrics.{}", self.prefix, kind.topic())
    }

    /// The event kind of a topic, if it is one of ours.
    pub fn kind_of(&self, topic: &str) -> Option<EventKind> {
        let name = topic.strip_prefix(&self.prefix)?.strip_prefix("metrics.")?;
        EventKind::ALL.into_iter().find(|k| k.topic() == name)
    }

    /// Events that count, each once, from the aggregator.
    pub fn admitted(&self) -> String {
        format!("{}metrics.admitted-events", self.prefix)
    }

    /// Rollup deltas, from the aggregator.
    pub fn rollups(&self) -> String {
        format!("{}metrics.rollups", self.prefix)
    }

    /// Refused records, whole.
    pub fn dead_letters(&self) -> String {
        format!("{}metrics.dead-letters", self.prefix)
    }

    /// The registry subject of a topic's values (TopicNameStrategy).
    pub fn subject(topic: &str) -> String {
        format!("{topic}-value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let topics = Topics::new("eu.");
        for kind in EventKind::ALL {
            assert_eq!(topics.kind_of(&topics.events(kind)), Some(kind));
            assert_eq!(Topics::default().kind_of(&topics.events(kind)), None);
        }
        assert_eq!(topics.kind_of(&topics.rollups()), None);
        assert_eq!(topics.kind_of(&topics.admitted()), None);
        assert_eq!(topics.dead_letters(), "eu.metrics.dead-letters");
    }
}
