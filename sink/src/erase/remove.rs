//! A user's rows go; what they had added to coarser rollups is kept as a residual.

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Erase, Rows,
    days::{next, raw_tables, rollup_tables},
    residual,
};
use crate::{rebuild::raw, store::StoreError};

/// Removes a day's rows.
pub(super) async fn day(
    connection: &mut PgConnection,
    erase: &Erase,
    day: DateTime<Utc>,
) -> Result<Rows, StoreError> {
    // From the raw rows, not from rollups, which retention may have taken first.
    let (_, mut sums) = raw::sums(
        &mut *connection,
        erase.organization_id,
        instant(day)?,
        instant(next(day))?,
    )
    .await?;
    sums.retain(|(_, _, series), _| series.user_id == Some(erase.user_id));
    residual::keep(&mut *connection, sums).await?;
    let mut rows = Rows::default();
    for (table, time) in raw_tables() {
        rows.raw += delete(&mut *connection, erase, &table, time, day).await?;
    }
    for (table, time) in rollup_tables() {
        rows.rollups += delete(&mut *connection, erase, &table, time, day).await?;
    }
    Ok(rows)
}

async fn delete(
    connection: &mut PgConnection,
    erase: &Erase,
    table: &str,
    time: &str,
    day: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let sql = format!(
        "delete from flowmeter.{table} where organization_id = $1 and user_id = $2 \
         and {time} >= $3 and {time} < $4"
    );
    let done = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(erase.organization_id)
        .bind(erase.user_id)
        .bind(day)
        .bind(next(day))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

fn instant(at: DateTime<Utc>) -> Result<Timestamp, StoreError> {
    Timestamp::try_from(at).map_err(|_| StoreError::Corrupt {
        table: "events".to_owned(),
        what: "timestamp",
    })
}
