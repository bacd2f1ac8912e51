//! The time of day.

use chrono::Utc;
use schemas::Timestamp;

/// Now, by this machine's clock.
pub fn now() -> Timestamp {
    Timestamp::try_from(Utc::now()).expect("this is before the year 10000")
}
