//! Rollups that are stored, and those that should be.

use std::collections::HashMap;
use std::ops::AddAssign;

use chrono::{DateTime, Utc};
use platform::database::rollup_columns::{RollupColumns, SELECTED};
use schemas::{Rollup, Timestamp, Window};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::{
    by_user::ByUser,
    expand::RollupRow,
    store::{StoreError, by_user, rollups},
};

/// How many rollups differ, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference {
    /// Compared in all.
    pub compared: u64,
    /// Missing.
    pub missing: u64,
    /// With other numbers.
    pub wrong: u64,
    /// Of no raw row.
    pub surplus: u64,
}

impl Difference {
    /// Whether all are as they should be.
    pub fn is_none(&self) -> bool {
        self.missing + self.wrong + self.surplus == 0
    }
}

impl AddAssign for Difference {
    fn add_assign(&mut self, other: Self) {
        self.compared += other.compared;
        self.missing += other.missing;
        self.wrong += other.wrong;
        self.surplus += other.surplus;
    }
}

/// Scope, bucket and series.
type Key = (String, DateTime<Utc>, Uuid);

/// The stored rollups of a window; `None`: numbers that no rollup can have.
pub(super) type Stored = HashMap<Key, Option<Rollup>>;

/// What is to be done to a window's table.
#[derive(Debug)]
struct Change {
    window: Window,
    write: Vec<RollupRow>,
    delete: Vec<Key>,
}

/// What is to be done to an organization's rollups.
#[derive(Debug)]
pub(super) struct Changes {
    organization_id: Uuid,
    changes: Vec<Change>,
    /// A range whose days of users are to be written anew.
    users: Option<(Timestamp, Timestamp, ByUser)>,
}

/// The rollups of an organization whose buckets start in a range.
pub(super) async fn stored(
    connection: &mut PgConnection,
    window: Window,
    organization_id: Uuid,
    from: Timestamp,
    to: Timestamp,
) -> Result<Stored, StoreError> {
    let sql = format!(
        "select scope, bucket_start, series_id, {SELECTED} from flowmeter.rollups_{window} \
         where organization_id = $1 and bucket_start >= $2 and bucket_start < $3"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(organization_id)
        .bind(DateTime::<Utc>::from(from))
        .bind(DateTime::<Utc>::from(to))
        .fetch_all(connection)
        .await?;
    let mut stored = Stored::with_capacity(rows.len());
    for row in rows {
        let key = (
            row.try_get("scope")?,
            row.try_get("bucket_start")?,
            row.try_get("series_id")?,
        );
        stored.insert(key, RollupColumns::from_row(&row)?.rollup().ok());
    }
    Ok(stored)
}

impl Changes {
    /// None yet.
    pub(super) fn of(organization_id: Uuid) -> Self {
        Self {
            organization_id,
            changes: Vec::new(),
            users: None,
        }
    }

    /// Takes note of what differs between rows as they should be and those that are stored.
    pub(super) fn compare(
        &mut self,
        window: Window,
        rows: Vec<RollupRow>,
        mut stored: Stored,
    ) -> Difference {
        let mut difference = Difference {
            compared: rows.len() as u64,
            ..Difference::default()
        };
        let mut write = Vec::new();
        for row in rows {
            let key = (
                row.scope.as_str().to_owned(),
                row.bucket_start.into(),
                row.series_id,
            );
            match stored.remove(&key) {
                None => difference.missing += 1,
                // As the table would hold it, whose columns end somewhere.
                Some(Some(found))
                    if RollupColumns::of(&row.rollup) == RollupColumns::of(&found) =>
                {
                    continue;
                }
                Some(_) => difference.wrong += 1,
            }
            write.push(row);
        }
        let delete: Vec<Key> = stored.into_keys().collect();
        difference.surplus = delete.len() as u64;
        difference.compared += difference.surplus;
        if !write.is_empty() || !delete.is_empty() {
            self.changes.push(Change {
                window,
                write,
                delete,
            });
        }
        difference
    }

    /// The same of what users did in the days of a range.
    pub(super) async fn compare_users(
        &mut self,
        connection: &mut PgConnection,
        from: Timestamp,
        to: Timestamp,
        rows: ByUser,
    ) -> Result<Difference, StoreError> {
        let mut stored = by_user::stored(connection, self.organization_id, from, to).await?;
        let mut difference = Difference {
            compared: rows.len() as u64,
            ..Difference::default()
        };
        for (key, tally) in &rows {
            match stored.remove(key) {
                None => difference.missing += 1,
                Some(found) if found == Some(*tally) => {}
                Some(_) => difference.wrong += 1,
            }
        }
        difference.surplus = stored.len() as u64;
        difference.compared += difference.surplus;
        if !difference.is_none() {
            self.users = Some((from, to, rows));
        }
        Ok(difference)
    }

    /// Makes the tables as they should be.
    pub(super) async fn write(self, connection: &mut PgConnection) -> Result<(), StoreError> {
        for change in &self.changes {
            rollups::replace(&mut *connection, change.window, &change.write).await?;
            let organization_id = self.organization_id;
            delete(
                &mut *connection,
                change.window,
                organization_id,
                &change.delete,
            )
            .await?;
        }
        if let Some((from, to, rows)) = &self.users {
            by_user::replace(connection, self.organization_id, *from, *to, rows).await?;
        }
        Ok(())
    }
}

async fn delete(
    connection: &mut PgConnection,
    window: Window,
    organization_id: Uuid,
    keys: &[Key],
) -> sqlx::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "delete from flowmeter.rollups_{window} r \
         using unnest($2::text[], $3::timestamptz[], $4::uuid[]) \
            as k(scope, bucket_start, series_id) \
         where r.organization_id = $1 and r.scope = k.scope \
            and r.bucket_start = k.bucket_start and r.series_id = k.series_id"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(organization_id)
        .bind(keys.iter().map(|k| k.0.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| k.1).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| k.2).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
