//! Compression, where TimescaleDB's edition has it.
//!
//! Not a migration: an installation may change its edition at any time, and `flowmeter
//! migrate` then does what became possible. The Apache edition goes without.

use sqlx::PgConnection;

use super::DatabaseError;

/// Also run, on the Community edition, by `scripts/try-community`.
const SWITCH_ON: &str = include_str!("compression.sql");

/// Switches compression and its policies on where they are not; gives how many tables have
/// it then, which on the Apache edition is none.
pub(super) async fn ensure(owner: &mut PgConnection) -> Result<usize, DatabaseError> {
    sqlx::raw_sql(SWITCH_ON).execute(&mut *owner).await?;
    let compressed: i64 = sqlx::query_scalar(
        "select count(*) from timescaledb_information.hypertables \
         where hypertable_schema = 'flowmeter' and compression_enabled",
    )
    .fetch_one(owner)
    .await?;
    Ok(usize::try_from(compressed).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::{database::Role, test_support::TestDatabase};

    /// The tables that have compression, with what is segmented and ordered by.
    fn layouts() -> Vec<Vec<&'static str>> {
        let lines = SWITCH_ON.lines().map(str::trim);
        lines
            .filter(|line| line.starts_with("('"))
            .map(|line| line.split('\'').skip(1).step_by(2).collect())
            .collect()
    }

    #[tokio::test]
    async fn each_hypertable_has_a_layout_of_its_own_columns() {
        let database = TestDatabase::create().await;
        let owner = database.pool(Role::Owner).await;
        let tables: Vec<String> = sqlx::query_scalar(
            "select hypertable_name::text from timescaledb_information.hypertables \
             where hypertable_schema = 'flowmeter' \
               and hypertable_name not in ('dead_letters', 'erased_rollups', 'rollups_1d_by_user') order by 1",
        )
        .fetch_all(&owner)
        .await
        .unwrap();
        let layouts = layouts();
        let mut known: Vec<&str> = layouts.iter().map(|layout| layout[0]).collect();
        known.sort_unstable();
        assert_eq!(tables, known);
        for layout in layouts {
            let [table, segment_by, order_by] = layout[..] else {
                panic!("{layout:?}");
            };
            let sql = format!("select {segment_by} from flowmeter.{table} order by {order_by}");
            let found = sqlx::query(AssertSqlSafe(sql)).fetch_all(&owner).await;
            assert!(found.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn the_edition_decides() {
        let database = TestDatabase::create().await;
        let mut owner = database.pool(Role::Owner).await.acquire().await.unwrap();
        let edition: String = sqlx::query_scalar("select current_setting('timescaledb.license')")
            .fetch_one(&mut *owner)
            .await
            .unwrap();
        let wanted = if edition == "timescale" {
            layouts().len()
        } else {
            0
        };
        assert_eq!(ensure(&mut owner).await.unwrap(), wanted);
    }
}
