//! What ends a session.

use platform::kafka::{
    consumer::{ConsumerError, OffsetGone, TopicPartition},
    registry::LookupError,
    sessions::SessionFault,
};

use crate::store::StoreError;

/// Why a session ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error(transparent)]
    Registry(#[from] LookupError),
    #[error("records of {partition} are missing: {gone}")]
    OffsetGone {
        partition: TopicPartition,
        gone: OffsetGone,
    },
    #[error("the group gave this member up while it held records")]
    Lost,
}

impl SessionFault for SessionError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Fenced(_)) => "fenced",
            Self::Store(_) => "database",
            Self::OffsetGone { .. } | Self::Consumer(ConsumerError::OffsetOutOfRange) => {
                "offset_gone"
            }
            Self::Consumer(_) => "kafka",
            Self::Registry(_) => "registry",
            Self::Lost => "lost",
        }
    }

    fn reason(&self) -> &'static str {
        if let Self::Store(error) = self
            && let Some(trouble) = error.trouble()
        {
            return trouble.reason();
        }
        match self.outcome() {
            "fenced" => "another instance moved a cursor; beginning anew",
            "database" => "the database cannot be written",
            "offset_gone" => "records that were never stored are missing from Kafka",
            "kafka" => "Kafka cannot be read",
            "registry" => "the schema registry cannot be asked",
            _ => "the consumer group gave this instance up; beginning anew",
        }
    }
}
