//! The instant before which no event is expected any more.

use chrono::{DateTime, Utc};
use platform::database::TenantTx;
use schemas::Timestamp;

use crate::failure::QueryFailure;

/// The watermark of all that is stored; `None` while it is not known. To be read before the
/// rows that it is to speak of: what it covers was written when it was.
pub(crate) async fn read(transaction: &mut TenantTx) -> Result<Option<Timestamp>, QueryFailure> {
    let until: Option<DateTime<Utc>> = sqlx::query_scalar("select until from tenant.watermark")
        .fetch_optional(transaction.connection())
        .await?;
    Ok(until.and_then(|until| Timestamp::try_from(until).ok()))
}
