//! The table `rollups_1d_by_user`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{ROWS_PER_STATEMENT, StoreError};
use crate::by_user::{ByUser, Tally, UserDay};

/// The table's name in reports.
pub(super) const TABLE: &str = "rollups_1d_by_user";

const ADD: &str = "\
    insert into flowmeter.rollups_1d_by_user as t \
    select o, b, u, t, a, c, d, e, f, g, h::numeric \
    from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], \
        $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[]) \
        as r(o, b, u, t, a, c, d, e, f, g, h) \
    on conflict (organization_id, bucket_start, user_id, team_id) do update set \
        command_count = t.command_count + excluded.command_count, \
        command_error_count = t.command_error_count + excluded.command_error_count, \
        agent_count = t.agent_count + excluded.agent_count, \
        agent_error_count = t.agent_error_count + excluded.agent_error_count, \
        input_tokens = t.input_tokens + excluded.input_tokens, \
        output_tokens = t.output_tokens + excluded.output_tokens, \
        cost_usd = t.cost_usd + excluded.cost_usd";

const STORED: &str = "\
    select bucket_start, user_id, team_id, command_count, command_error_count, agent_count, \
        agent_error_count, input_tokens::text, output_tokens::text, cost_usd::text \
    from flowmeter.rollups_1d_by_user \
    where organization_id = $1 and bucket_start >= $2 and bucket_start < $3";

const DELETE: &str = "delete from flowmeter.rollups_1d_by_user \
    where organization_id = $1 and bucket_start >= $2 and bucket_start < $3";

/// Adds to what is there. Nobody else may write meanwhile what it adds up (`rollups::lock`).
pub(crate) async fn add(connection: &mut PgConnection, rows: &ByUser) -> Result<(), StoreError> {
    let rows: Vec<_> = rows.iter().collect();
    for rows in rows.chunks(ROWS_PER_STATEMENT) {
        fn column<S: Copy, T>(of: &[S], value: impl Fn(S) -> T) -> Vec<T> {
            of.iter().copied().map(value).collect()
        }
        let count = |value: fn(&Tally) -> u64| column(rows, |(_, tally)| signed(value(tally)));
        sqlx::query(ADD)
            .bind(column(rows, |(key, _)| key.organization_id))
            .bind(column(rows, |(key, _)| {
                DateTime::<Utc>::from(key.bucket_start)
            }))
            .bind(column(rows, |(key, _)| key.user_id))
            .bind(column(rows, |(key, _)| key.team_id))
            .bind(count(|tally| tally.command_count))
            .bind(count(|tally| tally.command_error_count))
            .bind(count(|tally| tally.agent_count))
            .bind(count(|tally| tally.agent_error_count))
            .bind(count(|tally| tally.input_tokens))
            .bind(count(|tally| tally.output_tokens))
            .bind(column(rows, |(_, tally)| tally.cost.to_string()))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// A row as the database has it.
#[derive(Debug, FromRow)]
struct Stored {
    bucket_start: DateTime<Utc>,
    user_id: Option<Uuid>,
    team_id: Option<Uuid>,
    command_count: i64,
    command_error_count: i64,
    agent_count: i64,
    agent_error_count: i64,
    /// Wide numbers are text, as in `rollup_columns`.
    input_tokens: String,
    output_tokens: String,
    cost_usd: String,
}

/// An organization's rows of a range, each by its key; no numbers: such as no row can have.
pub(crate) async fn stored(
    connection: &mut PgConnection,
    organization_id: Uuid,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<UserDay, Option<Tally>>, StoreError> {
    let rows: Vec<Stored> = sqlx::query_as(STORED)
        .bind(organization_id)
        .bind(DateTime::<Utc>::from(from))
        .bind(DateTime::<Utc>::from(to))
        .fetch_all(connection)
        .await?;
    let row = |row: Stored| {
        let key = UserDay {
            organization_id,
            bucket_start: Timestamp::try_from(row.bucket_start).map_err(|_| corrupt())?,
            user_id: row.user_id,
            team_id: row.team_id,
        };
        Ok((key, row.tally()))
    };
    rows.into_iter().map(row).collect()
}

/// Writes an organization's rows of a range in place of all that are there.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    organization_id: Uuid,
    from: Timestamp,
    to: Timestamp,
    rows: &ByUser,
) -> Result<(), StoreError> {
    sqlx::query(DELETE)
        .bind(organization_id)
        .bind(DateTime::<Utc>::from(from))
        .bind(DateTime::<Utc>::from(to))
        .execute(&mut *connection)
        .await?;
    add(connection, rows).await
}

impl Stored {
    fn tally(&self) -> Option<Tally> {
        let count = |n: i64| u64::try_from(n).ok();
        Some(Tally {
            command_count: count(self.command_count)?,
            command_error_count: count(self.command_error_count)?,
            agent_count: count(self.agent_count)?,
            agent_error_count: count(self.agent_error_count)?,
            input_tokens: self.input_tokens.parse().ok()?,
            output_tokens: self.output_tokens.parse().ok()?,
            cost: self.cost_usd.parse().ok()?,
        })
    }
}

/// As the column has it: a number that it could not hold stays at its end.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn corrupt() -> StoreError {
    StoreError::Corrupt {
        table: TABLE.to_owned(),
        what: "bucket_start",
    }
}
