//! Why one event is not accepted, as an answer of its own and within a batch's.

use std::time::Duration;

use axum::http::StatusCode;
use platform::{
    auth::Denied,
    http::problem::{FieldError, Problem},
};
use schemas::Fault;
use uuid::Uuid;

use crate::posted::Form;

/// When to try again after the broker was away: it takes seconds to elect a leader.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Largest event, in bytes of JSON, alone or in a batch.
pub(crate) const MAX_EVENT_BYTES: usize = 1 << 20;

/// Why one event is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It breaks rules.
    Invalid(Vec<Fault>),
    /// Another event of the batch has its id.
    Duplicate,
    /// The caller may not post it.
    Denied(Denied),
    /// Larger than we or Kafka take.
    TooLarge,
    /// Too many events wait for the broker.
    QueueFull,
    /// The broker did not acknowledge it.
    Unavailable,
    /// It is sound and yet cannot be written: a fault of ours.
    Internal,
}

impl Refusal {
    /// What it would be answered with alone.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::Duplicate => StatusCode::BAD_REQUEST,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::QueueFull | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code, for programs and as a label.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_event",
            Self::Duplicate => "duplicate_event_id",
            Self::Denied(denied) => denied.code(),
            Self::TooLarge => "event_too_large",
            Self::QueueFull => "queue_full",
            Self::Unavailable => "broker_unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether the same event may be accepted later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::QueueFull | Self::Unavailable)
    }

    fn detail(&self) -> String {
        match self {
            Self::Invalid(_) => "The event breaks the rules listed in `errors`.".to_owned(),
            Self::Duplicate => "An earlier event of this list has the same event_id.".to_owned(),
            Self::Denied(denied) => denied.to_string(),
            Self::TooLarge => "The event is larger than 1 MiB.".to_owned(),
            Self::QueueFull => {
                "Too many events are waiting to be stored; send this one again later.".to_owned()
            }
            Self::Unavailable => {
                "The event could not be confirmed as stored; send it again with the same event_id."
                    .to_owned()
            }
            Self::Internal => "Something failed on our side.".to_owned(),
        }
    }

    /// At least one; what concerns the whole event has the pointer `""`.
    pub(crate) fn errors(&self, form: Form) -> Vec<FieldError> {
        let pointer = match self {
            Self::Invalid(faults) => return faults.iter().map(field_error).collect(),
            Self::Duplicate => form.event_id().to_owned(),
            Self::Denied(Denied::NotAsItself) => form.locate("/user_id"),
            Self::Denied(Denied::NotYourTeam) => form.locate("/team_id"),
            _ => String::new(),
        };
        vec![FieldError {
            pointer,
            code: self.code().to_owned(),
            message: self.detail(),
        }]
    }

    /// The answer to a post of this event alone. A client without an id of its own needs
    /// `event_id` to send the event again safely.
    pub(crate) fn into_problem(self, event_id: Option<Uuid>) -> Problem {
        let problem = match &self {
            Self::Internal => {
                return Problem::internal(anyhow::anyhow!("an event could not be written"));
            }
            _ => Problem::new(self.status(), self.code(), self.detail()),
        };
        match &self {
            Self::Invalid(_) => problem.errors(self.errors(Form::Plain)),
            _ if self.is_transient() => {
                let problem = problem.retry_after(RETRY_AFTER);
                match event_id {
                    Some(id) => problem.member("event_id", id.to_string()),
                    None => problem,
                }
            }
            _ => problem,
        }
    }
}

pub(crate) fn field_error(fault: &Fault) -> FieldError {
    FieldError {
        pointer: fault.pointer.clone(),
        code: fault.code.to_owned(),
        message: fault.message.clone().into_owned(),
    }
}
