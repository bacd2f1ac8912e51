//! Hours and their history out of the database.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use platform::database::TenantTx;
use schemas::{Timestamp, Window, rollup::SeriesKind};
use sqlx::{Postgres, QueryBuilder};

use super::{
    answer::Anomalies,
    detect::{Found, History},
    params::Query,
};
use crate::{
    aggregated::{
        fold::Group,
        group::{GroupBy, Key, scope_for},
    },
    failure::QueryFailure,
    rollups::{Piece, Source},
};

/// The anomalies of a transaction's organization and watermark, all of one snapshot.
///
/// # Errors
/// The database's, or a row that does not hold what the sink writes.
pub(crate) async fn anomalies(
    mut transaction: TenantTx,
    query: &Query,
    watermark: Option<Timestamp>,
) -> Result<Anomalies, QueryFailure> {
    let Found {
        found,
        judged,
        more,
    } = find(&mut transaction, watermark, query).await?;
    transaction.finish();
    Ok(Anomalies {
        start_date: query.start.to_string(),
        end_date: query.end.to_string(),
        watermark: watermark.map(|until| until.to_string()),
        threshold: query.threshold,
        judged,
        data: found,
        more,
    })
}

/// The same within a transaction that knows its watermark.
///
/// # Errors
/// The database's, or a row that does not hold what the sink writes.
pub(crate) async fn find(
    transaction: &mut TenantTx,
    watermark: Option<Timestamp>,
    query: &Query,
) -> Result<Found, QueryFailure> {
    if watermark.is_none() {
        // No hour is complete.
        return Ok(Found::default());
    }
    let pieces = query.pieces();
    let source = Source {
        scope: scope_for(&query.filter, GroupBy::None),
        filter: &query.filter,
        pieces: &pieces,
        kinds: &[SeriesKind::Command, SeriesKind::Agent],
    };
    let mut hours: BTreeMap<Timestamp, Group> = BTreeMap::new();
    let each = |row: &crate::rollups::Row| {
        let hour = hours.entry(row.bucket_start);
        let hour = hour.or_insert_with(|| Group::empty(row.bucket_start, Key::All));
        hour.add(row.part, &row.rollup);
    };
    source.read(transaction, each).await?;
    let since = since(transaction, source).await?;
    Ok(History { hours, since }.judge(query, watermark))
}

/// When there was the first event of any kind, as far as hours that are read are concerned:
/// before them all is early enough. Of the rollups of an hour themselves, since others may be
/// kept for longer.
async fn since(
    transaction: &mut TenantTx,
    source: Source<'_>,
) -> Result<Option<Timestamp>, QueryFailure> {
    let (Some(from), Some(to)) = (
        source.pieces.iter().map(|piece| piece.from).min(),
        source.pieces.iter().map(|piece| piece.to).max(),
    ) else {
        return Ok(None);
    };
    let piece = |from, to| {
        [Piece {
            window: Window::H1,
            from,
            to,
        }]
    };
    let (before, within) = (piece(Timestamp::MIN, from), piece(from, to));
    let of = |pieces| Source {
        pieces,
        kinds: &[],
        ..source
    };
    // Most organizations are older than their history: the least of many is asked of others only.
    let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("select exists (");
    of(&before).push(&mut sql, "");
    sql.push(")");
    let query = sql.build_query_scalar::<bool>();
    if query.fetch_one(transaction.connection()).await? {
        return Ok(Some(Timestamp::MIN));
    }
    let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("select min(bucket_start) from (");
    of(&within).push(&mut sql, "bucket_start");
    sql.push(") rollups");
    let query = sql.build_query_scalar::<Option<DateTime<Utc>>>();
    let first = query.fetch_one(transaction.connection()).await?;
    first
        .map(|first| {
            Timestamp::try_from(first).map_err(|_| QueryFailure::Malformed("bucket_start"))
        })
        .transpose()
}
