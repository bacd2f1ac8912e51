//! The table of cursors.

use std::collections::BTreeMap;

use platform::kafka::consumer::TopicPartition;
use sqlx::PgConnection;

use super::StoreError;
use crate::cursors::{CursorMove, check};

const READ: &str = "\
    select c.topic, c.partition, c.next_offset \
    from flowmeter.cursors c \
    join unnest($2::text[], $3::integer[]) as k(topic, partition) using (topic, partition) \
    where c.consumer = $1";

// In the order of the key, so that two instances wait for each other and never in a ring.
const LOCK: &str = "\
    select topic, partition, next_offset \
    from flowmeter.cursors \
    where consumer = $1 \
      and (topic, partition) in (select * from unnest($2::text[], $3::integer[])) \
    order by topic, partition \
    for update";

// Waits for another instance that is about to insert the same, and then inserts nothing.
const INSERT: &str = "\
    insert into flowmeter.cursors (consumer, topic, partition, next_offset) \
    select $1, k.* from unnest($2::text[], $3::integer[], $4::bigint[]) as k \
    on conflict do nothing \
    returning topic, partition, next_offset";

const UPDATE: &str = "\
    update flowmeter.cursors c set next_offset = k.next_offset, updated_at = now() \
    from unnest($2::text[], $3::integer[], $4::bigint[]) as k(topic, partition, next_offset) \
    where c.consumer = $1 and c.topic = k.topic and c.partition = k.partition";

type Row = (String, i32, i64);

/// The cursors of partitions.
pub(super) async fn read(
    connection: &mut PgConnection,
    consumer: &str,
    partitions: &[TopicPartition],
) -> sqlx::Result<BTreeMap<TopicPartition, i64>> {
    select(connection, READ, consumer, partitions.iter()).await
}

/// Moves cursors that are where they are expected, and locks them until the transaction
/// ends.
pub(super) async fn advance(
    connection: &mut PgConnection,
    consumer: &str,
    moves: &[CursorMove],
) -> Result<(), StoreError> {
    let partitions = moves.iter().map(|m| &m.partition);
    let stored = select(&mut *connection, LOCK, consumer, partitions).await?;
    check(moves, |partition| stored.get(partition).copied())?;
    let (old, new): (Vec<_>, Vec<_>) = moves.iter().cloned().partition(|m| m.from.is_some());
    if !new.is_empty() {
        let inserted = change(&mut *connection, INSERT, consumer, &new).await?;
        if inserted.len() < new.len() {
            // Another instance was faster, and has committed what it was faster with.
            let partitions = new.iter().map(|m| &m.partition);
            let stored = select(&mut *connection, LOCK, consumer, partitions).await?;
            let is_ours = |p: &TopicPartition| {
                let same = |row: &Row| row.0 == p.topic && row.1 == p.partition;
                inserted.iter().any(same)
            };
            check(&new, |p| stored.get(p).copied().filter(|_| !is_ours(p)))?;
        }
    }
    if !old.is_empty() {
        change(connection, UPDATE, consumer, &old).await?;
    }
    Ok(())
}

async fn select<'a>(
    connection: &mut PgConnection,
    sql: &'static str,
    consumer: &str,
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> sqlx::Result<BTreeMap<TopicPartition, i64>> {
    let (topics, numbers): (Vec<&str>, Vec<i32>) =
        partitions.map(|p| (p.topic.as_str(), p.partition)).unzip();
    let rows: Vec<Row> = sqlx::query_as(sql)
        .bind(consumer)
        .bind(topics)
        .bind(numbers)
        .fetch_all(connection)
        .await?;
    let keyed = |(topic, partition, next)| (TopicPartition { topic, partition }, next);
    Ok(rows.into_iter().map(keyed).collect())
}

async fn change(
    connection: &mut PgConnection,
    sql: &'static str,
    consumer: &str,
    moves: &[CursorMove],
) -> sqlx::Result<Vec<Row>> {
    let topics: Vec<&str> = moves.iter().map(|m| m.partition.topic.as_str()).collect();
    let numbers: Vec<i32> = moves.iter().map(|m| m.partition.partition).collect();
    let offsets: Vec<i64> = moves.iter().map(|m| m.to).collect();
    sqlx::query_as(sql)
        .bind(consumer)
        .bind(topics)
        .bind(numbers)
        .bind(offsets)
        .fetch_all(connection)
        .await
}
