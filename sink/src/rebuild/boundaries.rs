//! From when on rows can be judged: what retention has removed, nobody can add up again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::store::StoreError;

/// A rollup is only as good as the raw rows of all kinds, so the latest boundary counts.
const SINCE: &str = "\
    select organization_id, max(since) from flowmeter.retention_boundaries \
    where organization_id = any($1) and table_name <> 'dead_letters' group by 1";

/// From when on the rows of organizations are all there; those that are not named have all.
///
/// A boundary is committed before any row before it is removed. So rows that were read before
/// this was asked were all there, if the answer does not say otherwise.
pub(super) async fn since(
    database: impl PgExecutor<'_>,
    organizations: &[Uuid],
) -> Result<HashMap<Uuid, Timestamp>, StoreError> {
    let rows: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(SINCE)
        .bind(organizations)
        .fetch_all(database)
        .await?;
    // An instant that we cannot write is later than any event.
    let instant = |at| Timestamp::try_from(at).unwrap_or(Timestamp::MAX);
    Ok(rows.into_iter().map(|(id, at)| (id, instant(at))).collect())
}
