//! Records that cannot be taken now, one of a partition at most. No I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use platform::backoff::Backoff;
use platform::kafka::consumer::TopicPartition;
use rdkafka::message::OwnedMessage;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why a record waits, and its whole partition behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its schema cannot be looked up now. It is tried again.
    Registry,
    /// Too many before it were refused. Somebody has to look.
    BadShare,
}

impl Cause {
    /// All, the gravest first.
    pub(crate) const ALL: [Self; 2] = [Self::BadShare, Self::Registry];

    /// The metric's label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::BadShare => "dead_letters",
        }
    }

    /// For the public health report.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Registry => "records wait for a schema that cannot be looked up now",
            Self::BadShare => {
                "stopped reading a partition: too large a share of its records is refused"
            }
        }
    }
}

#[derive(Debug)]
struct Held {
    record: OwnedMessage,
    cause: Cause,
    backoff: Backoff,
    /// `None`: not by itself.
    again: Option<Instant>,
}

/// The records that wait.
#[derive(Debug, Default)]
pub(crate) struct HeldRecords(BTreeMap<TopicPartition, Held>);

impl HeldRecords {
    /// A record waits from now on.
    pub(crate) fn hold(&mut self, partition: TopicPartition, record: OwnedMessage, cause: Cause) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let again = (cause == Cause::Registry).then(|| Instant::now() + backoff.pause());
        let held = Held {
            record,
            cause,
            backoff,
            again,
        };
        self.0.insert(partition, held);
    }

    /// A record whose time has come to be tried again. It is out until it is held again.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(TopicPartition, DueRecord)> {
        let is_due = |held: &Held| held.again.is_some_and(|again| again <= now);
        let mut all = self.0.iter();
        let partition = all.find(|(_, held)| is_due(held))?.0.clone();
        let held = self.0.remove(&partition)?;
        Some((partition, DueRecord(held)))
    }

    /// It still cannot be taken.
    pub(crate) fn hold_again(&mut self, partition: TopicPartition, due: DueRecord, cause: Cause) {
        let DueRecord(mut held) = due;
        held.cause = cause;
        let again = Instant::now() + held.backoff.pause();
        held.again = (cause == Cause::Registry).then_some(again);
        self.0.insert(partition, held);
    }

    pub(crate) fn release(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.0.remove(partition);
        }
    }

    pub(crate) fn holds(&self, partition: &TopicPartition) -> bool {
        self.0.contains_key(partition)
    }

    pub(crate) fn count(&self, cause: Cause) -> usize {
        self.0.values().filter(|held| held.cause == cause).count()
    }

    /// The gravest cause why a record waits, if one does.
    pub(crate) fn gravest(&self) -> Option<Cause> {
        let mut causes = Cause::ALL.into_iter();
        causes.find(|cause| self.count(*cause) > 0)
    }
}

/// A record that is being tried again.
#[derive(Debug)]
pub(crate) struct DueRecord(Held);

impl DueRecord {
    pub(crate) fn record(&self) -> &OwnedMessage {
        &self.0.record
    }
}
