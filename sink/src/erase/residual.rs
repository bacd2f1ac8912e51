//! What removed events had added to the rollups of teams and of the organization.
//!
//! The table has no user and no project, and is of the minute: nothing finer than a team's
//! rollup of a minute, which stays anyway.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use platform::database::rollup_columns::{RollupColumns, SELECTED};
use schemas::{
    Timestamp, Window,
    rollup::{Scope, Series, SeriesKind},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    expand::{RollupRow, expand},
    rebuild::raw::Sums,
    store::StoreError,
};

const TABLE: &str = "erased_rollups";
/// Rows of one statement.
const AT_ONCE: usize = 1000;

const INSERT: &str = "insert into flowmeter.erased_rollups \
    select * from jsonb_populate_recordset(null::flowmeter.erased_rollups, $1::text::jsonb)";

/// Keeps what events that are about to be removed add up to.
pub(super) async fn keep(connection: &mut PgConnection, sums: Sums) -> Result<(), StoreError> {
    let mut rows = Sums::with_capacity(sums.len());
    for ((organization_id, minute, series), rollup) in sums {
        let key = (organization_id, minute, series.within(Scope::Team));
        rows.entry(key).or_default().merge(&rollup);
    }
    let rows: Vec<Value> = rows
        .iter()
        .map(|((organization_id, minute, series), rollup)| {
            let mut row = json!({
                "organization_id": organization_id,
                "scope": Scope::Team.as_str(),
                "bucket_start": DateTime::<Utc>::from(*minute),
                "series_id": series.id(),
                "kind": series.kind.as_str(),
                "name": series.name,
                "model": series.model,
                "team_id": series.team_id,
                "updated_at": Utc::now(),
            });
            if let (Value::Object(row), Value::Object(columns)) =
                (&mut row, RollupColumns::of(rollup).to_json())
            {
                row.extend(columns);
            }
            row
        })
        .collect();
    for rows in rows.chunks(AT_ONCE) {
        sqlx::query(INSERT)
            .bind(Value::from(rows).to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What was kept of an organization's events of a range.
pub(crate) async fn sums(
    connection: &mut PgConnection,
    organization_id: Uuid,
    from: Timestamp,
    to: Timestamp,
) -> Result<Sums, StoreError> {
    let sql = format!(
        "select bucket_start, kind, name, model, team_id, project_id, {SELECTED} \
         from flowmeter.{TABLE} \
         where organization_id = $1 and bucket_start >= $2 and bucket_start < $3"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(organization_id)
        .bind(DateTime::<Utc>::from(from))
        .bind(DateTime::<Utc>::from(to))
        .fetch_all(connection)
        .await?;
    let mut sums = Sums::new();
    for row in rows {
        let minute: DateTime<Utc> = row.try_get("bucket_start")?;
        let minute = Timestamp::try_from(minute).map_err(|_| corrupt("bucket_start"))?;
        let rollup = RollupColumns::from_row(&row)?.rollup().map_err(corrupt)?;
        let key = (organization_id, minute, series(&row)?);
        sums.entry(key).or_default().merge(&rollup);
    }
    Ok(sums)
}

/// Adds what removed events had added, which counts in every scope but the user's.
pub(crate) fn add(
    windows: &[Window],
    mut tables: Vec<(Window, Vec<RollupRow>)>,
    erased: Sums,
) -> Vec<(Window, Vec<RollupRow>)> {
    // Both in the order of the windows.
    for ((_, rows), (_, erased)) in tables.iter_mut().zip(expand(windows, erased)) {
        let at: HashMap<_, usize> = rows.iter().enumerate().map(|(n, r)| (r.key(), n)).collect();
        for row in erased.into_iter().filter(|row| row.scope != Scope::User) {
            match at.get(&row.key()).and_then(|n| rows.get_mut(*n)) {
                Some(sum) => sum.rollup.merge(&row.rollup),
                None => rows.push(row),
            }
        }
    }
    tables
}

/// The series of a row, without a user.
pub(super) fn series(row: &PgRow) -> Result<Series, StoreError> {
    let kind: &str = row.try_get("kind")?;
    let mut kinds = SeriesKind::ALL.into_iter();
    Ok(Series {
        kind: kinds
            .find(|k| k.as_str() == kind)
            .ok_or_else(|| corrupt("kind"))?,
        name: row.try_get("name")?,
        model: row.try_get("model")?,
        team_id: row.try_get("team_id")?,
        project_id: row.try_get("project_id")?,
        user_id: None,
    })
}

fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt {
        table: TABLE.to_owned(),
        what,
    }
}
