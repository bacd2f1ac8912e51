//! Connections that end in the middle of a message, are refused, or say nothing any more,
//! between any two parts. It begins with a registry that is away.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::faults::links::Part;
use crate::faults::report::Report;
use crate::faults::services::Service::{Aggregator, Gateway, Query, Sink};
use crate::faults::system::{Plan, System};
use crate::pipeline::eventually;

/// Longer than the consumers' sessions and the transactions last.
const LONG: Duration = Duration::from_secs(14);

pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    for service in [Gateway, Aggregator, Sink] {
        system.links.between(service, Part::Registry).refuse();
    }
    system.start_all(&[Gateway, Aggregator, Sink, Query]);
    for at in [0, 1] {
        let instance = &system.instances[at];
        eventually("it says that the registry is away", || async {
            let log = instance.last_words(100).to_lowercase();
            log.contains("registry").then_some(())
        })
        .await;
    }
    for service in [Gateway, Aggregator, Sink] {
        system.links.between(service, Part::Registry).open();
    }
    system.start_load();
    system.progress("the registry is back").await;
    let names: Vec<String> = system
        .links
        .all()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for round in 1..=plan.rounds {
        // Short rounds in the short form: one link after the other, so that each has its turn.
        let count = system.random.random_range(1..=2);
        let mut victims: Vec<usize> = (0..names.len()).collect();
        victims = victims.sample(&mut system.random, count).copied().collect();
        victims[0] = round as usize % names.len();
        let mut told = Vec::new();
        for victim in &victims {
            let how = system.random.random_range(0..3);
            let links = system.links.all();
            let (name, link) = &links[*victim];
            match how {
                0 => link.cut(),
                1 => link.refuse(),
                _ => link.stall(),
            }
            let how = ["cut", "refused", "stalled"][how];
            told.push(format!("{name} {how}"));
        }
        let long = plan.rounds > 20 && round % 6 == 0;
        let longest = if long {
            LONG
        } else {
            Duration::from_millis(1200)
        };
        system.a_moment(longest).await;
        for (_, link) in system.links.all() {
            link.open();
        }
        // Now and then the next comes before anything has recovered.
        if system.random.random_bool(0.5) || round == plan.rounds {
            system.progress(&told.join(", ")).await;
        }
        system.round(round, &told.join(", "));
    }
    system.settle().await
}
