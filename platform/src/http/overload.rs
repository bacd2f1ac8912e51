//! Overload: what exceeds the limits is refused at once, so that what was let in is
//! answered in time. Nothing waits in a queue here.
//!
//! ```text
//! limit ─▶ a slot, or 503 ─▶ handler ─▶ body::read ─▶ bytes, or 503
//! ```

use std::{
    panic::resume_unwind,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use anyhow::anyhow;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use super::{
    budget::{Budget, Hold, Overload, Slot},
    context::Context,
    problem::Problem,
};
use crate::{config::IntakeConfig, telemetry::names};

/// When to try again: what is in flight is answered within milliseconds as a rule.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the records made of one body cost besides their own bytes (judged events, keys, queue
/// entries here and in the broker's client, outcomes): measured, some 1800 bytes each, that is
/// for small events eight times their size, and no more than a batch of the usual size can hold.
const PER_RECORD_FACTOR: usize = 8;
const PER_RECORD_MOST: usize = 1792 * 1024;

/// The budget of a service's calls, shown as metrics.
#[must_use]
pub fn budget(config: &IntakeConfig) -> Arc<Budget> {
    Budget::shown(
        config.max_requests,
        config.max_bytes,
        metrics::gauge!(names::REQUESTS_IN_FLIGHT),
        metrics::gauge!(names::BYTES_IN_FLIGHT),
    )
}

/// One request in flight: its slot, and the memory of what is made of its body. Both are
/// given back when nobody works on it any more.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    budget: Arc<Budget>,
    _slot: Option<Slot>,
    records: Mutex<Hold>,
}

impl InFlight {
    fn new(budget: &Arc<Budget>, slot: Option<Slot>) -> Self {
        Self(Arc::new(Inner {
            budget: Arc::clone(budget),
            _slot: slot,
            records: Mutex::new(budget.hold()),
        }))
    }

    /// Of a request; of one outside [`limit`], with a budget without limits.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        static UNLIMITED: LazyLock<Arc<Budget>> =
            LazyLock::new(|| Budget::new(usize::MAX, usize::MAX));
        let known = request.extensions().get::<Self>().cloned();
        known.unwrap_or_else(|| Self::new(&UNLIMITED, None))
    }

    /// A hold on no bytes yet.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.0.budget.hold()
    }

    /// Takes room for the records that will be made of a body of so many bytes, until the
    /// request is answered.
    pub(super) fn expect_records_of(&self, bytes: usize) -> Result<(), Problem> {
        let cost =
            bytes.saturating_add(bytes.saturating_mul(PER_RECORD_FACTOR).min(PER_RECORD_MOST));
        let mut records = self
            .0
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        records.grow(cost).map_err(refused)
    }
}

/// A layer's function (`axum::middleware::from_fn_with_state`): lets a request in if the
/// budget has room for it.
///
/// A request that was let in is worked on to its end, though its client may go away: by then
/// its records may be with the broker's client, and their memory must stay accounted for.
pub async fn limit(
    State(budget): State<Arc<Budget>>,
    mut request: Request,
    next: Next,
) -> Response {
    let slot = match budget.enter() {
        Ok(slot) => slot,
        Err(overload) => return refused(overload).into_response(),
    };
    let in_flight = InFlight::new(&budget, Some(slot));
    request.extensions_mut().insert(in_flight.clone());
    let work = async move {
        let response = next.run(request).await;
        drop(in_flight);
        response
    };
    let work = Context::current().scope(work).in_current_span();
    match tokio::spawn(work).await {
        Ok(response) => response,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Problem::internal(anyhow!("a request was cancelled")).into_response(),
        },
    }
}

/// 503, counted by its cause.
pub(super) fn refused(overload: Overload) -> Problem {
    metrics::counter!(names::OVERLOAD_REFUSALS, "cause" => overload.as_str()).increment(1);
    Problem::unavailable(
        "overloaded",
        "Too much is in flight; see the Retry-After header.",
        RETRY_AFTER,
    )
}

#[cfg(test)]
#[path = "overload_tests.rs"]
mod tests;
