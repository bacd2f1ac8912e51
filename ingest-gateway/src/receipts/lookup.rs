//! What the database says of events: rows by event id, dead letters by where they were.
//!
//! The views of schema `tenant` are security barriers, which let only comparisons through
//! that cannot leak. Those of uuid, timestamptz, text and integers are such, so the indexes
//! serve; a join would not get through, hence `= any` with arrays.

use chrono::{DateTime, Utc};
use platform::database::TenantTx;
use schemas::{EventKind, Timestamp, Topics};
use sqlx::Row as _;
use uuid::Uuid;

use super::{
    book::{Place, Receipt},
    fate::Refused,
};

/// Ids of one statement.
pub(crate) const CHUNK: usize = 1000;

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: EventKind,
    pub(crate) event_id: Uuid,
    pub(crate) timestamp: Timestamp,
    /// The record's log time.
    pub(crate) received_at: Timestamp,
    pub(crate) place: Place,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) team_id: Option<Uuid>,
}

/// A refused record of an event's topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) kind: EventKind,
    pub(crate) topic: String,
    pub(crate) place: Place,
    /// As the record's key says.
    pub(crate) user_id: Option<Uuid>,
    pub(crate) refused: Refused,
    /// The record's log time.
    pub(crate) recorded_at: Timestamp,
}

macro_rules! of_each_kind {
    ($where:literal) => {
        [
            of_each_kind!("command_executions", $where),
            of_each_kind!("agent_interactions", $where),
            of_each_kind!("productivity_metrics", $where),
            of_each_kind!("user_sessions", $where),
        ]
    };
    ($view:literal, $where:literal) => {
        concat!(
            "select event_id, \"timestamp\", received_at, source_partition, source_offset, \
             user_id, team_id from tenant.",
            $view,
            " where event_id = any($1)",
            $where
        )
    };
}

/// In the order of [`EventKind::ALL`]. The bounds let TimescaleDB leave out chunks.
const BETWEEN: [&str; 4] = of_each_kind!(r#" and "timestamp" >= $2 and "timestamp" <= $3"#);
/// Looks into every chunk. The limit is one of prudence.
const ANYWHERE: [&str; 4] = of_each_kind!(" limit 4000");

/// Rows of these events with a time from `from` to `to`, both included.
pub(crate) async fn rows_between(
    transaction: &mut TenantTx,
    kind: EventKind,
    ids: &[Uuid],
    (from, to): (Timestamp, Timestamp),
) -> sqlx::Result<Vec<Row>> {
    let found = sqlx::query(BETWEEN[kind as usize])
        .bind(ids)
        .bind(DateTime::<Utc>::from(from))
        .bind(DateTime::<Utc>::from(to))
        .fetch_all(transaction.connection())
        .await?;
    found.iter().map(|row| read_row(kind, row)).collect()
}

/// Rows of these events, whatever their time.
pub(crate) async fn rows_anywhere(
    transaction: &mut TenantTx,
    kind: EventKind,
    ids: &[Uuid],
) -> sqlx::Result<Vec<Row>> {
    let found = sqlx::query(ANYWHERE[kind as usize])
        .bind(ids)
        .fetch_all(transaction.connection())
        .await?;
    found.iter().map(|row| read_row(kind, row)).collect()
}

/// Has this transaction's statements planned once for the connection: with a chunk a day,
/// planning [`rows_anywhere`] takes longer than running it.
pub(crate) async fn plan_once(transaction: &mut TenantTx) -> sqlx::Result<()> {
    sqlx::query("select set_config('plan_cache_mode', 'force_generic_plan', true)")
        .execute(transaction.connection())
        .await?;
    Ok(())
}

fn read_row(kind: EventKind, row: &sqlx::postgres::PgRow) -> sqlx::Result<Row> {
    Ok(Row {
        kind,
        event_id: row.try_get(0)?,
        timestamp: instant(row, 1)?,
        received_at: instant(row, 2)?,
        place: Place {
            partition: row.try_get(3)?,
            offset: row.try_get(4)?,
        },
        user_id: row.try_get(5)?,
        team_id: row.try_get(6)?,
    })
}

fn instant(row: &sqlx::postgres::PgRow, at: usize) -> sqlx::Result<Timestamp> {
    let instant: DateTime<Utc> = row.try_get(at)?;
    Timestamp::try_from(instant).map_err(|error| sqlx::Error::Decode(error.into()))
}

macro_rules! letters {
    ($where:literal) => {
        concat!(
            "select source_topic, source_partition, source_offset, \"key\", reason, message, \
             stage, recorded_at from tenant.dead_letters where ",
            $where
        )
    };
}

/// May find more than what was asked for: each column is compared for itself.
const LETTERS_AT: &str =
    letters!("source_topic = any($1) and source_partition = any($2) and source_offset = any($3)");
const LETTERS_OF: &str = letters!("event_id = any($1) limit 4000");

/// Dead letters of these records, and perhaps of others.
pub(crate) async fn letters_at(
    transaction: &mut TenantTx,
    topics: &Topics,
    receipts: &[&Receipt],
) -> sqlx::Result<Vec<Letter>> {
    if receipts.is_empty() {
        return Ok(Vec::new());
    }
    let mut names: Vec<_> = receipts.iter().map(|r| topics.events(r.kind)).collect();
    let mut partitions: Vec<_> = receipts.iter().map(|r| r.place.partition).collect();
    names.sort_unstable();
    names.dedup();
    partitions.sort_unstable();
    partitions.dedup();
    let offsets: Vec<_> = receipts.iter().map(|r| r.place.offset).collect();
    let found = sqlx::query(LETTERS_AT)
        .bind(names)
        .bind(partitions)
        .bind(offsets)
        .fetch_all(transaction.connection())
        .await?;
    read_letters(topics, &found)
}

/// Dead letters of these events.
pub(crate) async fn letters_of(
    transaction: &mut TenantTx,
    topics: &Topics,
    ids: &[Uuid],
) -> sqlx::Result<Vec<Letter>> {
    let found = sqlx::query(LETTERS_OF)
        .bind(ids)
        .fetch_all(transaction.connection())
        .await?;
    read_letters(topics, &found)
}

fn read_letters(topics: &Topics, rows: &[sqlx::postgres::PgRow]) -> sqlx::Result<Vec<Letter>> {
    let mut letters = Vec::new();
    for row in rows {
        let topic: String = row.try_get(0)?;
        // A dead letter of a topic that holds no events is none of an event.
        let Some(kind) = topics.kind_of(&topic) else {
            continue;
        };
        let key: Option<Vec<u8>> = row.try_get(3)?;
        letters.push(Letter {
            kind,
            topic,
            place: Place {
                partition: row.try_get(1)?,
                offset: row.try_get(2)?,
            },
            user_id: key.as_deref().and_then(user_of_key),
            refused: Refused {
                reason: row.try_get(4)?,
                message: row.try_get(5)?,
                stage: row.try_get(6)?,
            },
            recorded_at: instant(row, 7)?,
        });
    }
    Ok(letters)
}

/// A record's key is `organization_id:user_id`, without a user `organization_id:`.
fn user_of_key(key: &[u8]) -> Option<Uuid> {
    let (_, user) = std::str::from_utf8(key).ok()?.split_once(':')?;
    user.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_are_in_the_order_of_kinds() {
        for kind in EventKind::ALL {
            let view = format!(" from tenant.{} where ", kind.plural());
            assert!(BETWEEN[kind as usize].contains(&view));
            assert!(ANYWHERE[kind as usize].contains(&view));
        }
    }

    #[test]
    fn a_key_names_its_user() {
        let user = Uuid::from_u128(3);
        let key = format!("{}:{user}", Uuid::nil());
        assert_eq!(user_of_key(key.as_bytes()), Some(user));
        for none in [&b"x"[..], b"a:", b"a:b", b"\xff:"] {
            assert_eq!(user_of_key(none), None);
        }
    }
}
