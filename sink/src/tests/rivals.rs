//! Two instances that believe to own the same, told to the store without Kafka between.

use std::collections::HashMap;

use platform::{
    database::{Role, changes},
    kafka::consumer::TopicPartition,
    test_support::TestDatabase,
};
use schemas::{Rollup, Source, Window, rollup::Series};
use uuid::Uuid;

use super::support::{commands, now};
use crate::{
    batch::{Batch, Item, RawEvent},
    cursors::CursorMove,
    expand::{RollupRow, expand},
    letters::EventRecord,
    store::{Kept, Store, StoreError},
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
        let record = EventRecord::at(source);
        batch.add(Item::Event(RawEvent { event, record }), 1);
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
    let (mut of_a, mut of_b) = (Kept::default(), Kept::default());
    let batch = batch();
    // From no cursor at all, then from one.
    let mut from = None;
    for to in 1..=20 {
        let moves = moved(0, from, to);
        let (x, y) = tokio::join!(
            a.write(&batch, &[], &moves, &mut of_a),
            b.write(&batch, &[], &moves, &mut of_b)
        );
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
    let (mut of_a, mut of_b) = (Kept::default(), Kept::default());
    let (nothing, rows) = (Batch::default(), rows());
    for round in 0..10 {
        let from = (round > 0).then_some(round);
        let (mine, theirs) = (moved(1, from, round + 1), moved(2, from, round + 1));
        let (x, y) = tokio::join!(
            a.write(&nothing, &rows, &mine, &mut of_a),
            b.write(&nothing, &rows, &theirs, &mut of_b)
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

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_between_two_batches_is_added_to() {
    let database = TestDatabase::create().await;
    let (store, mut kept) = (store(&database).await, Kept::default());
    let (nothing, rows) = (Batch::default(), rows());
    let pool = database.pool(Role::Owner).await;
    let sums = "select sum(event_count)::bigint from flowmeter.rollups_1m group by scope";
    for (round, change, wanted) in [
        (0, "select", 100),
        (1, "select", 200),
        (
            2,
            "update flowmeter.rollups_1m set event_count = event_count * 2",
            500,
        ),
        (3, "delete from flowmeter.rollups_1m", 100),
        (4, "select", 200),
    ] {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::raw_sql(change)
            .execute(&mut *transaction)
            .await
            .unwrap();
        if change != "select" {
            changes::raise(&mut transaction, [Uuid::nil()])
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
        let moves = moved(1, (round > 0).then_some(round), round + 1);
        store
            .write(&nothing, &rows, &moves, &mut kept)
            .await
            .unwrap();
        let counts: Vec<i64> = sqlx::query_scalar(sums).fetch_all(&pool).await.unwrap();
        assert_eq!(counts, [wanted; 3], "round {round}");
    }
}
