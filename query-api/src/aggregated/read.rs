//! A page of an answer, out of the database.

use std::collections::HashMap;

use platform::database::TenantTx;
use schemas::Timestamp;

use super::{
    answer::Aggregated,
    fold::{Group, Page},
    group::Key,
    query::Query,
    row::AggregatedRow,
    rows,
};
use crate::failure::QueryFailure;

/// The page that a query asks for, of the organization of a transaction with this watermark.
///
/// # Errors
/// The database's.
pub(crate) async fn answer(
    mut transaction: TenantTx,
    query: Query,
    watermark: Option<Timestamp>,
) -> Result<Aggregated, QueryFailure> {
    let query = &query;
    let (groups, more) = if query.fill {
        every_bucket(&mut transaction, query).await?
    } else {
        found(&mut transaction, query).await?
    };
    let mut previous = Vec::new();
    if query.compare {
        previous = period_before(&mut transaction, query, &groups).await?;
    }
    transaction.finish();

    let last = groups.last().filter(|_| more);
    let next_cursor = last.map(|group| {
        let cursor = query.cursor_after(group.bucket_start, group.key.clone());
        cursor.encode()
    });
    let mut previous = previous.into_iter();
    let rows = groups.into_iter().map(|group| {
        // One for each group, or none at all.
        AggregatedRow::of(group, previous.next(), query, watermark)
    });
    Ok(Aggregated {
        window: query.buckets.window().as_str(),
        tz: query.buckets.zone().name(),
        group_by: query.group_by.as_str(),
        start_date: query.start.to_string(),
        end_date: query.end.to_string(),
        watermark: watermark.map(|until| until.to_string()),
        data: rows.collect(),
        next_cursor,
    })
}

/// The next groups that have events, and whether there are more.
async fn found(
    transaction: &mut TenantTx,
    query: &Query,
) -> Result<(Vec<Group>, bool), QueryFailure> {
    let mut page = Page::new(query.limit);
    rows::read(transaction, query, &mut page).await?;
    Ok(page.finish())
}

/// The next buckets, each with its events or with none, and whether there are more.
async fn every_bucket(
    transaction: &mut TenantTx,
    query: &Query,
) -> Result<(Vec<Group>, bool), QueryFailure> {
    let buckets = &query.buckets;
    let from = match &query.after {
        Some((bucket_start, _)) => query.first.max(buckets.end(*bucket_start)),
        None => query.first,
    };
    let page = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let to = buckets.shifted(from, page).min(query.until);
    let empty = |start| Group::empty(start, Key::All);
    let mut groups: Vec<Group> = buckets.starts(from, to).map(empty).collect();
    let place: HashMap<Timestamp, usize> = places(groups.iter().map(|group| group.bucket_start));
    if !groups.is_empty() {
        rows::read_all(transaction, query, (from, to), |stored| {
            if let Some(&place) = place.get(&stored.bucket_start) {
                groups[place].add(stored.part, &stored.rollup);
            }
        })
        .await?;
    }
    Ok((groups, to < query.until))
}

/// Of each group what it was in the period before; `None` where it had no events.
async fn period_before(
    transaction: &mut TenantTx,
    query: &Query,
    groups: &[Group],
) -> Result<Vec<Option<Group>>, QueryFailure> {
    let mut previous = vec![None; groups.len()];
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else {
        return Ok(previous);
    };
    let before = |group: &Group| query.previous(group.bucket_start);
    let range = (before(first), query.buckets.end(before(last)));
    let place = places(
        groups
            .iter()
            .map(|group| (before(group), group.key.clone())),
    );
    rows::read_all(transaction, query, range, |stored| {
        let key = (stored.bucket_start, stored.key.clone());
        if let Some(&place) = place.get(&key) {
            previous[place]
                .get_or_insert_with(|| Group::empty(key.0, key.1))
                .add(stored.part, &stored.rollup);
        }
    })
    .await?;
    Ok(previous)
}

/// Where each of some things is.
fn places<T: std::hash::Hash + Eq>(things: impl Iterator<Item = T>) -> HashMap<T, usize> {
    things
        .enumerate()
        .map(|(place, thing)| (thing, place))
        .collect()
}
