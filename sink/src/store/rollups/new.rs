//! Rows that are not there yet: many of them are taken in by `COPY`, for less than half of what
//! looking for each of them again costs.

use platform::database::rollup_columns::RollupColumns;
use schemas::{Usd, Window};
use sqlx::PgConnection;

use super::Row;
use crate::store::{
    StoreError,
    copy::{CopyRows, Numeric},
};

/// Inserts rows. The organizations must be locked since it was seen that there are none.
pub(super) async fn insert(
    connection: &mut PgConnection,
    window: Window,
    rows: &[Row<'_>],
) -> Result<(), StoreError> {
    let statement = format!(
        "copy flowmeter.rollups_{window} ( \
            organization_id, scope, bucket_start, series_id, \
            kind, name, model, team_id, project_id, user_id, \
            event_count, success_count, error_count, timeout_count, cancelled_count, \
            execution_time_sum, execution_time_min, execution_time_max, histogram, \
            input_tokens, output_tokens, cost_usd, value_sum, value_min, value_max, \
            value_count, commands_executed) from stdin (format binary)"
    );
    let mut copied = CopyRows::default();
    for row in rows {
        add(&mut copied, row).map_err(|what| StoreError::Corrupt {
            table: format!("rollups_{window}"),
            what,
        })?;
    }
    Ok(copied.send(connection, &statement).await?)
}

fn add(copied: &mut CopyRows, (row, sum): &Row<'_>) -> Result<(), &'static str> {
    let columns = RollupColumns::of(sum);
    let numeric = |text: &str| match text.parse::<Usd>() {
        Ok(number) => Ok(Numeric(number)),
        Err(_) => Err("numeric"),
    };
    copied
        .add(27)
        .put(row.organization_id)
        .put(row.scope.as_str())
        .put(row.bucket_start)
        .put(row.series_id)
        .put(row.series.kind.as_str())
        .put(row.series.name.as_str())
        .put_some(row.series.model.as_deref())
        .put_some(row.series.team_id)
        .put_some(row.series.project_id)
        .put_some(row.series.user_id)
        .put(columns.event_count)
        .put(columns.success_count)
        .put(columns.error_count)
        .put(columns.timeout_count)
        .put(columns.cancelled_count)
        .put(numeric(&columns.execution_time_sum)?)
        .put_some(columns.execution_time_min)
        .put_some(columns.execution_time_max)
        .put(columns.histogram.as_slice())
        .put(numeric(&columns.input_tokens)?)
        .put(numeric(&columns.output_tokens)?)
        .put(numeric(&columns.cost_usd)?)
        .put_some(columns.value_sum.as_deref().map(numeric).transpose()?)
        .put_some(columns.value_min)
        .put_some(columns.value_max)
        .put_some(columns.value_count)
        .put(numeric(&columns.commands_executed)?);
    Ok(())
}
