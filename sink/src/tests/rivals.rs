//! Two instances that believe to own the same, told to the store without Kafka between.

use std::collections::HashMap;

use platform::{database::Role, kafka::consumer::TopicPartition, test_support::TestDatabase};
use schemas::{Rollup, Source, Window, rollup::Series};
use uuid::Uuid;

use super::support::{commands, now};
use crate::{
    batch::{Batch, Item, RawEvent},
    cursors::CursorMove,
    expand::{RollupRow, expand},
    letters::Content,
    store::{Store, StoreError},
};

async fn store(database: &TestDatabase) -> Store {
    let group = "group".to_owned();
    Store::open(database.url(), None, group).await.unwrap()
}

fn moved(partition: i32, from: Option<i64>, to: i64) -> [CursorMove; 1] {
    let partition = TopicPartition::new("topic", partition);
    [CursorMove {
        partition,
        from,
        to,
    }]
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    for event in commands(0..10) {
        let source = Source {
            kind: event.kind(),
            partition: 0,
            offset: 0,
            log_time: now(),
        };
        let raw = RawEvent {
            event,
            source,
            content: Content::default(),
        };
        batch.add(Item::Event(raw), 1);
    }
    batch
}

fn rows() -> Vec<(Window, Vec<RollupRow>)> {
    let mut deltas: HashMap<_, Rollup> = HashMap::new();
    for event in commands(0..100) {
        let key = (Uuid::nil(), Window::D1.start(now()), Series::of(&event));
        deltas.entry(key).or_default().merge(&Rollup::of(&event));
    }
    expand(&[Window::M1, Window::D1], deltas)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_write_the_same_one_is_fenced() {
    let database = TestDatabase::create().await;
    let (a, b) = (store(&database).await, store(&database).await);
    let batch = batch();
    // From no cursor at all, then from one.
    let mut from = None;
    for to in 1..=20 {
        let moves = moved(0, from, to);
        let (x, y) = tokio::join!(a.write(&batch, &[], &moves), b.write(&batch, &[], &moves));
        let fenced = match (x, y) {
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
            other => panic!("{other:?}"),
        };
        let StoreError::Fenced(fenced) = fenced else {
            panic!("{fenced}");
        };
        assert_eq!((fenced.expected, fenced.found), (from, Some(to)));
        from = Some(to);
    }
    let pool = database.pool(Role::Owner).await;
    let count: i64 = sqlx::query_scalar("select count(*) from flowmeter.command_executions")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(count, 200, "ten a round");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_merge_the_same_rollups_lose_nothing() {
    let database = TestDatabase::create().await;
    let (a, b) = (store(&database).await, store(&database).await);
    let (nothing, rows) = (Batch::default(), rows());
    for round in 0..10 {
        let from = (round > 0).then_some(round);
        let (mine, theirs) = (moved(1, from, round + 1), moved(2, from, round + 1));
        let (x, y) = tokio::join!(
            a.write(&nothing, &rows, &mine),
            b.write(&nothing, &rows, &theirs)
        );
        x.unwrap();
        y.unwrap();
    }
    let pool = database.pool(Role::Owner).await;
    let counts: Vec<i64> = sqlx::query_scalar(
        "select sum(event_count)::bigint from flowmeter.rollups_1m group by scope \
         union all select sum(event_count)::bigint from flowmeter.rollups_1d group by scope",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(counts, [2000; 6], "a hundred by two in ten rounds");
}
