//! The table of dead letters.

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use schemas::dead_letter::{DeadLetter, Reason, Replayed};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ROWS_PER_STATEMENT, column};

/// A refused record, whole.
#[derive(Debug)]
pub(crate) struct DeadLetterRow {
    pub(crate) letter: DeadLetter,
    pub(crate) organization_id: Option<Uuid>,
    /// Which program its record came from.
    pub(crate) client: Option<String>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// JSON: the record's own headers.
    pub(crate) headers: String,
    /// Where the dead letter itself is.
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

const INSERT: &str = r#"
    insert into flowmeter.dead_letters (
        recorded_at, organization_id, source_topic, source_partition, source_offset,
        stage, reason, message, "key", "value", headers,
        dead_letter_partition, dead_letter_offset, event_id, client
    )
    select r.a, r.b, r.c, r.d, r.e, r.f, r.g, r.h, r.i, r.j, r.k::jsonb, r.l, r.m, r.n, r.o
    from unnest(
        $1::timestamptz[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[],
        $6::text[], $7::text[], $8::text[], $9::bytea[], $10::bytea[], $11::text[],
        $12::integer[], $13::bigint[], $14::uuid[], $15::text[]
    ) as r(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
    -- A sink that ended before it could commit writes the same letter once more.
    where r.g <> $16 or not exists (
        select from flowmeter.dead_letters d
        where d.source_topic = r.c and d.source_partition = r.d and d.source_offset = r.e
          and d.reason = $16 and d.replayed_at is null
    )"#;

/// A dead letter that was sent again.
#[derive(Debug)]
pub(crate) struct ReplayedRow {
    pub(crate) marker: Replayed,
    /// The marker's partition, which is the letter's.
    pub(crate) partition: i32,
    pub(crate) at: Timestamp,
}

/// The source finds the row, by an index; the letter's own place makes sure that it is that one.
const MARK: &str = "
    update flowmeter.dead_letters d set replayed_at = r.f
    from unnest(
        $1::text[], $2::integer[], $3::bigint[], $4::integer[], $5::bigint[], $6::timestamptz[]
    ) as r(a, b, c, d, e, f)
    where d.source_topic = r.a and d.source_partition = r.b and d.source_offset = r.c
      and d.dead_letter_partition = r.d and d.dead_letter_offset = r.e
      and d.replayed_at is null";

/// Inserts them.
pub(super) async fn insert(
    connection: &mut PgConnection,
    rows: &[DeadLetterRow],
) -> sqlx::Result<()> {
    for rows in rows.chunks(ROWS_PER_STATEMENT) {
        sqlx::query(INSERT)
            .bind(column(rows, |r| {
                DateTime::<Utc>::from(r.letter.recorded_at)
            }))
            .bind(column(rows, |r| r.organization_id))
            .bind(column(rows, |r| r.letter.source_topic.as_str()))
            .bind(column(rows, |r| r.letter.source_partition))
            .bind(column(rows, |r| r.letter.source_offset))
            .bind(column(rows, |r| r.letter.stage.as_str()))
            .bind(column(rows, |r| r.letter.reason.as_str()))
            .bind(column(rows, |r| r.letter.message.as_str()))
            .bind(column(rows, |r| r.key.as_deref()))
            .bind(column(rows, |r| r.value.as_deref()))
            .bind(column(rows, |r| r.headers.as_str()))
            .bind(column(rows, |r| r.partition))
            .bind(column(rows, |r| r.offset))
            .bind(column(rows, |r| r.letter.event_id))
            .bind(column(rows, |r| r.client.as_deref()))
            .bind(Reason::RefusedByDatabase.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Notes in the letters' rows that they were replayed; rows that retention took are no loss.
pub(super) async fn mark_replayed(
    connection: &mut PgConnection,
    rows: &[ReplayedRow],
) -> sqlx::Result<()> {
    for rows in rows.chunks(ROWS_PER_STATEMENT) {
        sqlx::query(MARK)
            .bind(column(rows, |r| r.marker.source.topic.as_str()))
            .bind(column(rows, |r| r.marker.source.partition))
            .bind(column(rows, |r| r.marker.source.offset))
            .bind(column(rows, |r| r.partition))
            .bind(column(rows, |r| r.marker.letter_offset))
            .bind(column(rows, |r| DateTime::<Utc>::from(r.at)))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
