//! A user's rows become a stranger's.

use chrono::{DateTime, Utc};
use schemas::{EventKind, Window, rollup::Series};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::{Erase, Rows, days::next, residual::series};
use crate::store::StoreError;

/// What else of a kind's rows may say who it was, and what it becomes.
///
/// An event's id is on the user's receipts; a session's id, which several rows share, becomes
/// one that follows from the stranger and cannot be led back without both.
const fn blanks(kind: EventKind) -> &'static str {
    match kind {
        EventKind::CommandExecution => "command_args = null, error_message = null, context = null",
        EventKind::AgentInteraction => {
            "command_execution_id = null, error_message = null, metadata = null"
        }
        EventKind::ProductivityMetric => "dimensions = null",
        EventKind::UserSession => {
            "context = null, session_id = encode(sha256(convert_to($3::text || session_id, 'UTF8')), 'hex')"
        }
    }
}

/// Makes a day's rows a stranger's.
pub(super) async fn day(
    connection: &mut PgConnection,
    erase: &Erase,
    stranger: Uuid,
    day: DateTime<Utc>,
) -> Result<Rows, StoreError> {
    let mut rows = Rows::default();
    for kind in EventKind::ALL {
        let sql = format!(
            "update flowmeter.{} set user_id = $3, event_id = gen_random_uuid(), {} \
             where organization_id = $1 and user_id = $2 and \"timestamp\" >= $4 and \"timestamp\" < $5",
            kind.plural(),
            blanks(kind)
        );
        let done = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .bind(erase.organization_id)
            .bind(erase.user_id)
            .bind(stranger)
            .bind(day)
            .bind(next(day))
            .execute(&mut *connection)
            .await?;
        rows.raw += done.rows_affected();
    }
    for window in Window::ALL {
        rows.rollups += rekey(&mut *connection, erase, stranger, window, day).await?;
    }
    let users = "update flowmeter.rollups_1d_by_user set user_id = $3 \
         where organization_id = $1 and user_id = $2 and bucket_start >= $4 and bucket_start < $5";
    let done = sqlx::query(users)
        .bind(erase.organization_id)
        .bind(erase.user_id)
        .bind(stranger)
        .bind(day)
        .bind(next(day))
        .execute(connection)
        .await?;
    rows.rollups += done.rows_affected();
    Ok(rows)
}

/// Puts the rollups of a day under the keys that they have as the stranger's.
async fn rekey(
    connection: &mut PgConnection,
    erase: &Erase,
    stranger: Uuid,
    window: Window,
    day: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let select = format!(
        "select distinct series_id, kind, name, model, team_id, project_id \
         from flowmeter.rollups_{window} where organization_id = $1 and scope = 'user' \
         and user_id = $2 and bucket_start >= $3 and bucket_start < $4"
    );
    let found = sqlx::query(AssertSqlSafe(select))
        .persistent(false)
        .bind(erase.organization_id)
        .bind(erase.user_id)
        .bind(day)
        .bind(next(day))
        .fetch_all(&mut *connection)
        .await?;
    let (mut old, mut new) = (Vec::<Uuid>::new(), Vec::new());
    for row in &found {
        let series = Series {
            user_id: Some(stranger),
            ..series(row)?
        };
        old.push(row.try_get("series_id")?);
        new.push(series.id());
    }
    let update = format!(
        "update flowmeter.rollups_{window} r set user_id = $3, series_id = k.new \
         from unnest($6::uuid[], $7::uuid[]) as k(old, new) \
         where r.organization_id = $1 and r.scope = 'user' and r.user_id = $2 \
         and r.bucket_start >= $4 and r.bucket_start < $5 and r.series_id = k.old"
    );
    let done = sqlx::query(AssertSqlSafe(update))
        .persistent(false)
        .bind(erase.organization_id)
        .bind(erase.user_id)
        .bind(stranger)
        .bind(day)
        .bind(next(day))
        .bind(old)
        .bind(new)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
