//! What ends a session other than the shutdown.

use platform::kafka::consumer::{ConsumerError, OffsetGone, TopicPartition};
use platform::kafka::log_reader::LogReaderError;
use platform::kafka::provision::ProvisionError;
use platform::kafka::sessions::SessionFault;
use platform::kafka::transactions::TransactionError;

/// Why a session ended. The next one begins with what is committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error("dead letters cannot be read: {0}")]
    DeadLetters(#[from] LogReaderError),
    #[error(transparent)]
    Registry(#[from] ProvisionError),
    #[error("records of {partition} are missing: {gone}")]
    OffsetGone {
        partition: TopicPartition,
        gone: OffsetGone,
    },
    #[error("the group gave {0} partitions to others while this member did not answer")]
    Lost(usize),
    #[error("the brokers took too long to say where partitions begin")]
    SlowBrokers,
    #[error("a rollup could not be encoded: {0}")]
    Encoding(String),
    #[error("a record of {0}, which is not subscribed to")]
    ForeignTopic(String),
}

impl SessionError {
    /// Whether the open transaction can still be given up by this producer, so that readers
    /// need not wait until the broker does.
    pub(crate) fn leaves_transaction(&self) -> bool {
        !matches!(
            self,
            Self::Transaction(TransactionError::Fenced(_) | TransactionError::Fatal(_))
        )
    }
}

impl SessionFault for SessionError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Transaction(TransactionError::RetriesExhausted(_)) | Self::SlowBrokers => {
                "brokers_slow"
            }
            Self::Transaction(TransactionError::Abortable(_) | TransactionError::Rebalanced(_)) => {
                "aborted"
            }
            Self::Transaction(TransactionError::Fenced(_)) => "fenced",
            Self::Transaction(TransactionError::Fatal(_))
            | Self::Encoding(_)
            | Self::ForeignTopic(_) => "fatal",
            Self::OffsetGone { .. } | Self::Consumer(ConsumerError::OffsetOutOfRange) => {
                "offset_gone"
            }
            Self::Consumer(_) | Self::DeadLetters(_) => "kafka",
            Self::Registry(_) => "registry",
            Self::Lost(_) => "lost",
        }
    }

    fn reason(&self) -> &'static str {
        match self.outcome() {
            "brokers_slow" => "Kafka does not answer in time",
            "aborted" => "Kafka does not take what is to be published",
            "fenced" => "another instance has taken over; beginning anew",
            "offset_gone" => "records that were never counted are missing from Kafka",
            "kafka" => "Kafka cannot be read",
            "registry" => "the schema registry or Kafka cannot be asked",
            "lost" => "the consumer group gave this instance up; beginning anew",
            _ => "its last session failed; a new one is starting",
        }
    }
}
