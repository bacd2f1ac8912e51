use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

/// Why a queued record has no acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// No acknowledgement in time. It may be in the log all the same.
    #[error("no acknowledgement from Kafka in time")]
    TimedOut,
    /// The broker finds the record too large.
    #[error("the record is too large for Kafka")]
    TooLarge,
    /// The producer broke meanwhile. It may be in the log all the same.
    #[error("the producer broke before an acknowledgement")]
    Broken,
    /// The broker refused it, for instance for lack of permission.
    #[error("Kafka refused the record: {0}")]
    Refused(RDKafkaErrorCode),
}

impl DeliveryError {
    /// Whether sending it again can help (under the same `event_id`).
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Broken)
    }

    pub(super) fn of(error: &KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut) => {
                Self::TimedOut
            }
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Self::TooLarge,
            Some(Code::Fatal | Code::Fenced | Code::PurgeQueue | Code::PurgeInflight) | None => {
                Self::Broken
            }
            Some(code) => Self::Refused(code),
        }
    }
}

/// The partition and offset of a record in the log.
pub(super) type Answer = Result<(i32, i64), DeliveryError>;

/// A record on its way; resolves to its partition and offset.
#[must_use = "a record is accepted only when its delivery is"]
pub struct Delivery {
    answer: oneshot::Receiver<Answer>,
}

impl Delivery {
    pub(super) fn new(answer: oneshot::Receiver<Answer>) -> Self {
        Self { answer }
    }
}

impl Future for Delivery {
    type Output = Result<(i32, i64), DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Without an answer the producer went away.
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(DeliveryError::Broken)))
    }
}
