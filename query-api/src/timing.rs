//! How long queries take, as a metric and in the log.

use std::time::{Duration, Instant};

use platform::telemetry::names;
use tokio::time::timeout;

use crate::failure::QueryFailure;

/// The longest a query may take as a whole; each of its statements has the same bound.
const QUERY_BOUND: Duration = Duration::from_secs(10);

/// Waits for a query of a kind, for as long as one may take, and says how long it took.
///
/// # Errors
/// The query's, or [`QueryFailure::TooLong`].
pub(crate) async fn bounded<T>(
    query: &'static str,
    slow: Duration,
    read: impl Future<Output = Result<T, QueryFailure>>,
) -> Result<(T, Duration), QueryFailure> {
    let started = Instant::now();
    let outcome = timeout(QUERY_BOUND, read).await;
    let elapsed = started.elapsed();
    record(query, elapsed, slow);
    let read = outcome.unwrap_or(Err(QueryFailure::TooLong))?;
    Ok((read, elapsed))
}

/// Records the duration of one query of a kind, also of one that failed, and
/// logs it when it was slow. Parameters are the users' own and are not logged.
fn record(query: &'static str, elapsed: Duration, slow: Duration) {
    metrics::histogram!(names::QUERY_DURATION, "query" => query).record(elapsed.as_secs_f64());
    if elapsed > slow {
        tracing::warn!(query, duration_ms = millis(elapsed), "a slow query");
    }
}

/// In milliseconds, with a fraction.
pub(crate) fn millis(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1000.0
}
