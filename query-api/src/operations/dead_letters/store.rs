//! The rows of an organization's letters.

use std::{iter, mem};

use chrono::{DateTime, Utc};
use platform::database::TenantTx;
use schemas::Timestamp;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::params::{Client, Filter, Query, State};
use crate::{failure::QueryFailure, instant::instant};

/// The first slice of time that is looked at, in seconds.
const FIRST_SLICE: i64 = 60;
/// The most groups.
pub(super) const MOST_GROUPS: usize = 100;

/// Letters that have reason, client and topic in common.
#[derive(Debug, FromRow)]
pub(super) struct GroupRow {
    pub(super) reason: String,
    pub(super) client: Option<String>,
    pub(super) topic: String,
    pub(super) count: i64,
    pub(super) replayed: i64,
    pub(super) first_at: DateTime<Utc>,
    pub(super) last_at: DateTime<Utc>,
}

/// One letter, without its record's value.
#[derive(Debug, FromRow)]
pub(super) struct LetterRow {
    pub(super) failed_at: DateTime<Utc>,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) stage: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) client: Option<String>,
    pub(super) event_id: Option<Uuid>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value_bytes: Option<i32>,
    pub(super) replayed_at: Option<DateTime<Utc>>,
    pub(super) letter_partition: i32,
    pub(super) letter_offset: i64,
}

/// The groups, the largest first; one more than are answered, if there are.
pub(super) async fn groups(
    transaction: &mut TenantTx,
    filter: &Filter,
) -> Result<Vec<GroupRow>, QueryFailure> {
    let mut sql = QueryBuilder::new(
        "select reason, client, source_topic as topic, count(*) as count, \
         count(replayed_at) as replayed, min(recorded_at) as first_at, max(recorded_at) as last_at \
         from tenant.dead_letters where true",
    );
    push_filter(&mut sql, filter, (filter.start, filter.end));
    sql.push(" group by 1, 2, 3 order by count desc, 1, 2, 3 limit ")
        .push_bind(
            i64::try_from(MOST_GROUPS)
                .unwrap_or(i64::MAX)
                .saturating_add(1),
        );
    let rows = sql.build_query_as().persistent(false);
    Ok(rows.fetch_all(transaction.connection()).await?)
}

/// The latest letters after the query's place; one more than a page, if there are.
///
/// In slices of time that grow, since the view sorts all of what a statement asks for.
pub(super) async fn page(
    transaction: &mut TenantTx,
    query: &Query,
) -> Result<Vec<LetterRow>, QueryFailure> {
    let mut page = Vec::new();
    for slice in slices(query) {
        let missing = query.limit + 1 - page.len();
        let mut sql = QueryBuilder::new(
            "select recorded_at as failed_at, source_topic as topic, \
             source_partition as partition, source_offset as \"offset\", stage, reason, message, \
             client, event_id, \"key\", length(\"value\") as value_bytes, replayed_at, \
             dead_letter_partition as letter_partition, dead_letter_offset as letter_offset \
             from tenant.dead_letters where true",
        );
        push_filter(&mut sql, &query.filter, slice);
        if let Some(after) = &query.after {
            sql.push(" and (recorded_at < ")
                .push_bind(instant(after.failed_at))
                .push(" or (dead_letter_partition, dead_letter_offset) > (")
                .push_bind(after.partition)
                .push(", ")
                .push_bind(after.offset)
                .push("))");
        }
        sql.push(" order by recorded_at desc, dead_letter_partition, dead_letter_offset limit ")
            .push_bind(i64::try_from(missing).unwrap_or(i64::MAX));
        let rows = sql.build_query_as::<LetterRow>().persistent(false);
        page.extend(rows.fetch_all(transaction.connection()).await?);
        if page.len() > query.limit {
            break;
        }
    }
    Ok(page)
}

/// The range from its end on backwards; the first slice holds the place that the page goes on
/// after.
fn slices(query: &Query) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let start = query.filter.start;
    let just_after = |at: Timestamp| Timestamp::from_micros(at.micros() + 1).unwrap_or(at);
    let after = query.after.map(|place| just_after(place.failed_at));
    let mut to = after.map_or(query.filter.end, |after| after.min(query.filter.end));
    let mut seconds = FIRST_SLICE;
    iter::from_fn(move || {
        if to <= start {
            return None;
        }
        let from = to.saturating_add_seconds(-seconds).max(start);
        seconds = seconds.saturating_mul(4);
        Some((from, mem::replace(&mut to, from)))
    })
}

fn push_filter(
    sql: &mut QueryBuilder<Postgres>,
    filter: &Filter,
    (from, to): (Timestamp, Timestamp),
) {
    sql.push(" and recorded_at >= ").push_bind(instant(from));
    sql.push(" and recorded_at < ").push_bind(instant(to));
    if let Some(reason) = &filter.reason {
        sql.push(" and reason = ").push_bind(reason.clone());
    }
    if let Some(topic) = &filter.topic {
        sql.push(" and source_topic = ").push_bind(topic.clone());
    }
    match &filter.client {
        None => {}
        Some(Client::Unknown) => {
            sql.push(" and client is null");
        }
        Some(Client::Named(name)) => {
            sql.push(" and client = ").push_bind(name.clone());
        }
        Some(Client::Beginning(beginning)) => {
            sql.push(" and starts_with(client, ")
                .push_bind(beginning.clone())
                .push(")");
        }
    }
    sql.push(match filter.state {
        State::All => "",
        State::Open => " and replayed_at is null",
        State::Replayed => " and replayed_at is not null",
    });
}
