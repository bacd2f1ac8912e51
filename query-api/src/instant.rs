//! Instants between our type and the driver's.

use chrono::{DateTime, Utc};
use schemas::Timestamp;

/// As the driver takes it.
pub(crate) fn instant(timestamp: Timestamp) -> DateTime<Utc> {
    timestamp.into()
}
