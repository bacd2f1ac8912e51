//! The table of watermarks.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::batch::WatermarkRows;

// Sorted by key, so that two instances never wait in a ring.
const UPSERT: &str = "\
    insert into flowmeter.watermarks \
        (kind, source_partition, admitted_partition, until, expected_rows) \
    select * from unnest($1::text[], $2::integer[], $3::integer[], $4::timestamptz[], $5::integer[]) \
    on conflict (kind, source_partition, admitted_partition) do update set \
        until = greatest(watermarks.until, excluded.until), \
        expected_rows = excluded.expected_rows";

pub(super) async fn advance(
    connection: &mut PgConnection,
    watermarks: &WatermarkRows,
) -> sqlx::Result<()> {
    if watermarks.is_empty() {
        return Ok(());
    }
    let keys = || watermarks.keys();
    sqlx::query(UPSERT)
        .bind(keys().map(|(kind, ..)| kind.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|(_, source, _)| *source).collect::<Vec<_>>())
        .bind(keys().map(|(.., admitted)| *admitted).collect::<Vec<_>>())
        .bind(
            watermarks
                .values()
                .map(|(until, _)| DateTime::<Utc>::from(*until))
                .collect::<Vec<_>>(),
        )
        .bind(watermarks.values().map(|(_, n)| *n).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
