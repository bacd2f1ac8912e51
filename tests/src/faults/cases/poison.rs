//! Records that do not count: nothing but such, and when they can be put nowhere.

use std::time::Duration;

use platform::test_support::kafka;
use rand::RngExt;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use schemas::EventKind;
use uuid::Uuid;

use crate::faults::events::Stream;
use crate::faults::ledger::Poison;
use crate::faults::report::Report;
use crate::faults::services::Service::{Aggregator, Gateway, Sink};
use crate::faults::system::{Plan, System};
use crate::pipeline::eventually;

/// Fewer in a partition than a share is judged by.
const ALL_POISON: u32 = 300;

/// Nothing but poison, then a dead-letter topic that takes nothing for a while.
pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    let mut stream = Stream::new(plan.seed, &system.target.organizations);
    system.start_all(&[Gateway, Aggregator, Sink]);
    let target = system.target.clone();
    for _ in 0..ALL_POISON {
        let organization = target.organizations[0];
        target
            .direct
            .poison(&mut stream, organization, &target.ledger)
            .await;
    }
    system.drain().await;
    system.start_load();
    system.progress("after nothing but poison").await;
    for round in 1..=plan.rounds {
        set_dead_letter_limit(&system, "200").await;
        let organization = target.organizations[1];
        target
            .direct
            .poison(&mut stream, organization, &target.ledger)
            .await;
        let aggregator = &system.instances[1];
        let before = failures(&aggregator.last_words(10_000));
        eventually("the aggregator says that it cannot go on", || async {
            let now = failures(&aggregator.last_words(10_000));
            (now > before + 1).then_some(())
        })
        .await;
        set_dead_letter_limit(&system, "2097152").await;
        system.progress("dead letters can be written again").await;
        system.round(round, "dead letters could not be written");
    }
    system.settle().await
}

fn failures(log: &str) -> usize {
    log.matches("session failed").count()
}

/// A record larger than this cannot be put among the dead letters. The marks of transactions
/// take about 80 bytes, and a broker that cannot write one leaves its transaction open.
async fn set_dead_letter_limit(system: &System, bytes: &str) {
    let admin: AdminClient<DefaultClientContext> = kafka().base().create().unwrap();
    let topic = system.pipeline.topics.dead_letters();
    let config = AlterConfig::new(ResourceSpecifier::Topic(&topic))
        .set("message.timestamp.type", "LogAppendTime")
        .set("max.message.bytes", bytes);
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let results = admin.alter_configs(&[config], &options).await.unwrap();
    results.into_iter().for_each(|result| {
        result.unwrap();
    });
}

/// Records that took little room in their producer's compression and take too much in ours.
pub(crate) async fn oversize(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    let mut stream = Stream::new(plan.seed, &system.target.organizations);
    system.start_all(&[Gateway, Aggregator, Sink]);
    system.start_load();
    system.progress("everything runs").await;
    let target = system.target.clone();
    let mut block = vec![0; 300 << 10];
    stream.random.fill(&mut block[..]);
    // Larger than the largest record of any topic, in the clear.
    let sizes = [
        ("repeated noise", block.repeat(10)),
        ("zeros", vec![1; 12 << 20]),
    ];
    for (what, value) in sizes {
        let poison = Poison {
            topic: system.pipeline.topics.events(EventKind::CommandExecution),
            key: Some(format!("{}:{}", Uuid::new_v4(), Uuid::new_v4()).into_bytes()),
            value: Some(value),
            headers: Vec::new(),
            reason: "bad_framing",
            place: None,
        };
        let id = stream.id();
        target.direct.put(id, poison, &target.ledger).await;
        let told = target.ledger.books().poison[&id].place;
        assert!(told.is_some(), "the broker did not take {what}");
        system.round(1, what);
    }
    system.progress("after large records").await;
    system.settle().await
}
