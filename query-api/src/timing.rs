//! How long queries take, as a metric and in the log.

use std::time::Duration;

use platform::telemetry::names;

/// Records the duration of one query of a kind, also of one that failed, and
/// logs it when it was slow. Parameters are the users' own and are not logged.
pub(crate) fn record(query: &'static str, elapsed: Duration, slow: Duration) {
    metrics::histogram!(names::QUERY_DURATION, "query" => query).record(elapsed.as_secs_f64());
    if elapsed > slow {
        tracing::warn!(query, duration_ms = millis(elapsed), "a slow query");
    }
}

/// In milliseconds, with a fraction.
pub(crate) fn millis(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1000.0
}
