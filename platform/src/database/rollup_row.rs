//! A rollup out of a row that the database sent, as cheap as can be: a query reads thousands.
//! Histograms go into memory that the last row had.

use schemas::{
    Rollup, Usd,
    rollup::{ExecutionTime, Values},
};
use sqlx::postgres::PgRow;

use super::cell::Cell;

/// The columns as a query must select them, next to each other, by a prepared statement; no
/// table may be joined that has any of these.
pub const MEASURES: &str = "event_count, success_count, error_count, timeout_count, \
    cancelled_count, execution_time_sum, execution_time_min, execution_time_max, histogram, \
    input_tokens, output_tokens, cost_usd, value_sum, value_min, value_max, value_count, \
    commands_executed";

/// Reads [`MEASURES`], of which the first is at `first`, in place of what `rollup` was.
///
/// # Errors
/// The name of a column that holds what no rollup can; the rollup is of no use then.
pub fn read(row: &PgRow, first: usize, rollup: &mut Rollup) -> Result<(), &'static str> {
    let at = |place: usize, name| Cell::of(row, first + place, name);
    rollup.count = at(0, "event_count")?.count()?;
    rollup.by_status = [
        at(1, "success_count")?.count()?,
        at(2, "error_count")?.count()?,
        at(3, "timeout_count")?.count()?,
        at(4, "cancelled_count")?.count()?,
    ];
    let (min, max) = (at(6, "execution_time_min")?, at(7, "execution_time_max")?);
    if min.is_null() && max.is_null() {
        rollup.execution_time = None;
    } else {
        let any = || ExecutionTime::of(0);
        let time = rollup.execution_time.get_or_insert_with(any);
        time.sum = at(5, "execution_time_sum")?.wide()?;
        (time.min, time.max) = (min.count()?, max.count()?);
        let histogram = at(8, "histogram")?.bytes()?;
        let refilled = time.histogram.refill(histogram);
        refilled.map_err(|_| "histogram")?;
    }
    rollup.input_tokens = at(9, "input_tokens")?.wide()?;
    rollup.output_tokens = at(10, "output_tokens")?.wide()?;
    rollup.cost = Usd::from_units(at(11, "cost_usd")?.units()?);
    let (sum, min, max) = (
        at(12, "value_sum")?,
        at(13, "value_min")?,
        at(14, "value_max")?,
    );
    rollup.values = None;
    if !(sum.is_null() && min.is_null() && max.is_null()) {
        let count = at(15, "value_count")?;
        rollup.values = Some(Values {
            // Null when every event has a value.
            count: if count.is_null() {
                rollup.count
            } else {
                count.count()?
            },
            sum: sum.units()?,
            min: min.float()?,
            max: max.float()?,
        });
    }
    rollup.commands_executed = at(16, "commands_executed")?.wide()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use schemas::rollup::Histogram;
    use sqlx::{AssertSqlSafe, PgConnection};

    use super::*;
    use crate::{
        database::{Role, rollup_columns::RollupColumns},
        test_support::TestDatabase,
    };

    /// Writes a rollup as the sink does, with some columns changed, and reads it.
    async fn through(
        connection: &mut PgConnection,
        rollup: &Rollup,
        change: &str,
        into: &mut Rollup,
    ) -> Result<(), &'static str> {
        let record = "jsonb_populate_record(null::flowmeter.rollups_1h, $1::jsonb || $2::jsonb)";
        let sql = format!("select 'before', {MEASURES} from {record}");
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(RollupColumns::of(rollup).to_json().to_string())
            .bind(change.to_owned())
            .fetch_one(connection)
            .await
            .unwrap();
        read(&row, 1, into)
    }

    fn rollups() -> [Rollup; 4] {
        let mut histogram = Histogram::default();
        for time in [0, 1, 7, 7, 500, 3_600_000] {
            histogram.add(time);
        }
        let time = ExecutionTime {
            sum: u64::MAX,
            min: 0,
            max: i64::MAX as u64,
            histogram,
        };
        let execution = Rollup {
            count: 6,
            by_status: [1, 2, 3, i64::MAX as u64],
            execution_time: Some(time),
            input_tokens: u64::MAX,
            output_tokens: 10_000,
            cost: "0.000000000001".parse().unwrap(),
            ..Rollup::default()
        };
        let values = |count| Values {
            count,
            sum: -123_456_789_012_345_678,
            min: -1.5,
            max: 1e18,
        };
        let metric = |count| Rollup {
            count: 5,
            values: Some(values(count)),
            commands_executed: 3,
            cost: "99999999999999999999999999.999999999999".parse().unwrap(),
            ..Rollup::default()
        };
        [execution, metric(5), Rollup::default(), metric(2)]
    }

    #[tokio::test]
    async fn a_row_gives_the_rollup_back_whatever_was_read_before() {
        let database = TestDatabase::create().await;
        let pool = database.pool(Role::Owner).await;
        let mut connection = pool.acquire().await.unwrap();
        for before in rollups() {
            for rollup in rollups() {
                let mut read = before.clone();
                let through = through(&mut connection, &rollup, "{}", &mut read).await;
                assert_eq!((through, read), (Ok(()), rollup));
            }
        }
    }

    #[tokio::test]
    async fn a_column_that_is_no_rollups_is_named() {
        let database = TestDatabase::create().await;
        let pool = database.pool(Role::Owner).await;
        let mut connection = pool.acquire().await.unwrap();
        for (change, name) in [
            (r#"{"error_count": -1}"#, "error_count"),
            (r#"{"event_count": null}"#, "event_count"),
            (r#"{"execution_time_min": 1}"#, "execution_time_max"),
            (r#"{"value_min": 1}"#, "value_sum"),
            (
                r#"{"input_tokens": "18446744073709551616"}"#,
                "input_tokens",
            ),
            (r#"{"output_tokens": -1}"#, "output_tokens"),
            (r#"{"cost_usd": "NaN"}"#, "cost_usd"),
        ] {
            let nothing = Rollup::default();
            let read = through(&mut connection, &nothing, change, &mut nothing.clone()).await;
            assert_eq!(read, Err(name), "{change}");
        }
        let [execution, ..] = rollups();
        let change = r#"{"histogram": "\\x0100"}"#;
        let read = through(&mut connection, &execution, change, &mut Rollup::default()).await;
        assert_eq!(read, Err("histogram"));
    }
}
