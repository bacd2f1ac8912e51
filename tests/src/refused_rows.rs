//! A row that the database refuses holds up nothing, and counts once it is replayed.

use sqlx::raw_sql;
use uuid::Uuid;

use crate::foreign_producers::Foreign;
use crate::pipeline::Pipeline;
use crate::replay::{
    COUNTED, LETTERS, Operator, REPLAYED, STORED, assert_rollups_equal_raw, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refused_is_replayed_once_and_its_event_stays_known() {
    let mut pipeline = Pipeline::start().await;
    let foreign = Foreign::new(&pipeline).await;
    let operator = Operator::of(&pipeline);
    let refuse = "alter table flowmeter.command_executions add constraint no_thirteens \
         check (execution_time_ms <> 13)";
    raw_sql(refuse).execute(&pipeline.pool).await.unwrap();
    let (organization, user) = (Uuid::new_v4(), Uuid::new_v4());
    let key = format!("{organization}:{user}");
    let mut sent = Vec::new();
    for time in [11, 13, 17] {
        let value = foreign.command(organization, user, time);
        sent.push((foreign.send(Some(&key), &value).await, value));
    }
    until(&pipeline, STORED, 2).await;
    until(&pipeline, LETTERS, 1).await;
    let open = operator.open().await;
    let [letter] = open.as_slice() else {
        panic!("{open:?}");
    };
    assert_eq!(&*letter.reason, "refused_by_database");
    assert_eq!(letter.source().topic, foreign.topic);
    let ((partition, offset), poison) = &sent[1];
    assert_eq!(
        (letter.source_partition, letter.source_offset),
        (*partition, *offset)
    );

    // Replayed too early, it is refused once more, and open.
    let early = operator.replay("refused_by_database", None, false).await;
    assert_eq!((early.letters, early.replayed), (1, 1));
    until(&pipeline, LETTERS, 2).await;
    until(&pipeline, REPLAYED, 1).await;
    let again = operator.open().await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].source(), letter.source());

    let mend = "alter table flowmeter.command_executions drop constraint no_thirteens";
    raw_sql(mend).execute(&pipeline.pool).await.unwrap();
    let replayed = operator.replay("refused_by_database", None, false).await;
    assert_eq!((replayed.letters, replayed.replayed), (1, 1));
    until(&pipeline, STORED, 3).await;
    until(&pipeline, REPLAYED, 2).await;
    let none = operator.replay("refused_by_database", None, false).await;
    assert_eq!((none.letters, none.replayed), (0, 0));

    // It was admitted all along: after a restart, too, it is a duplicate when it is sent again.
    pipeline.stop().await;
    pipeline.resume().await;
    foreign.send(Some(&key), poison).await;
    let last = foreign.command(organization, user, 19);
    foreign.send(Some(&key), &last).await;
    until(&pipeline, COUNTED, 4).await;
    until(&pipeline, STORED, 4).await;
    assert_rollups_equal_raw(&pipeline, organization).await;
    assert_eq!(pipeline.number(LETTERS).await, 2);
    pipeline.stop().await;
}
