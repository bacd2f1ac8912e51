//! What happened in which hour of the week.

use platform::database::TenantTx;
use serde::Serialize;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::{failure::QueryFailure, rollups::Source};

/// What happened in an hour of the week, over all weeks of the range.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub(crate) struct HourOfWeek {
    /// ISO: 1 is Monday, 7 Sunday.
    #[schema(minimum = 1, maximum = 7)]
    weekday: i32,
    /// UTC.
    #[schema(minimum = 0, maximum = 23)]
    hour: i32,
    /// How many commands were executed.
    commands: i64,
    /// How many interactions with agents there were.
    agents: i64,
    /// How many of both failed.
    errors: i64,
}

/// The hours of the week in which there was something. Of windows of an hour at most.
pub(super) async fn hours(
    transaction: &mut TenantTx,
    source: Source<'_>,
) -> Result<Vec<HourOfWeek>, QueryFailure> {
    let mut sql: QueryBuilder<Postgres> = QueryBuilder::new(
        "select extract(isodow from bucket_start at time zone 'UTC')::int as weekday, \
         extract(hour from bucket_start at time zone 'UTC')::int as hour, \
         coalesce(sum(event_count) filter (where kind = 'command'), 0)::bigint as commands, \
         coalesce(sum(event_count) filter (where kind = 'agent'), 0)::bigint as agents, \
         sum(error_count)::bigint as errors from (",
    );
    source.push(&mut sql, "bucket_start, kind, event_count, error_count");
    sql.push(") rollups group by 1, 2 order by 1, 2");
    let query = sql.build_query_as::<HourOfWeek>();
    Ok(query.fetch_all(transaction.connection()).await?)
}
