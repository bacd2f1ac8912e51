//! A partition most of whose records are refused is not read on, until somebody allows it.

use platform::auth::Role;
use uuid::Uuid;

use crate::client::Client;
use crate::foreign_producers::Foreign;
use crate::pipeline::{Pipeline, eventually};

const LIMIT: &[(&str, &str)] = &[
    ("DEAD_LETTER_WINDOW", "10"),
    ("DEAD_LETTER_MAX_SHARE", "0.5"),
];
const DEAD: &str = "select count(*) from flowmeter.dead_letters";
const STORED: &str = "select count(*) from flowmeter.command_executions";

async fn until_stopped(client: &Client) {
    eventually("health says that a partition is not read on", || async {
        let (_, report) = client.get("/api/metrics/health").await;
        let aggregator = &report["checks"]["aggregator"];
        let detail = aggregator["detail"].as_str().unwrap_or_default();
        (aggregator["status"] == "down" && detail.contains("stopped")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_of_poison_stops_and_the_others_go_on() {
    let mut pipeline = Pipeline::start_with(LIMIT).await;
    let foreign = Foreign::new(&pipeline).await;
    let (organization, user) = (Uuid::new_v4(), Uuid::new_v4());
    let mut client = Client::of(&pipeline, organization, Role::Admin);
    let key = format!("{organization}:{user}");
    let (poisoned, _) = foreign
        .send(Some(&key), &foreign.command(organization, user, 1))
        .await;
    for _ in 0..20 {
        foreign.send(Some(&key), b"poison").await;
    }
    foreign
        .send(Some(&key), &foreign.command(organization, user, 2))
        .await;
    until_stopped(&client).await;
    // Five of ten may be refused, and the first ten are the first to be judged: one counts.
    eventually("what came before is kept", || async {
        (pipeline.number(DEAD).await == 8).then_some(())
    })
    .await;
    // Somebody else, of the other partition.
    loop {
        let other = Uuid::new_v4();
        let key = format!("{organization}:{other}");
        let value = foreign.command(organization, other, 3);
        if foreign.send(Some(&key), &value).await.0 != poisoned {
            break;
        }
    }
    eventually("the other partition is read", || async {
        (pipeline.number(STORED).await == 2).then_some(())
    })
    .await;

    // A restart is no permission.
    pipeline.stop().await;
    pipeline.resume().await;
    client.reconnect(&pipeline);
    until_stopped(&client).await;
    assert_eq!(pipeline.number(DEAD).await, 8);

    pipeline.stop().await;
    pipeline.set(&[("DEAD_LETTER_MAX_SHARE", "1")]);
    pipeline.resume().await;
    eventually("all of it is read", || async {
        (pipeline.number(DEAD).await == 20).then_some(())
    })
    .await;
    pipeline.stop().await;
}
