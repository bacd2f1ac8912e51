//! `kill -9` of each service at any moment, also while it recovers from the one before.

use std::time::Duration;

use rand::RngExt;

use crate::faults::report::Report;
use crate::faults::services::Service::{self, Aggregator, Gateway, Query, Sink};
use crate::faults::system::{Plan, System};

pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    system.start_all(&[Gateway, Aggregator, Aggregator, Sink, Sink, Query]);
    system.start_load();
    system.progress("everything runs").await;
    for round in 1..=plan.rounds {
        for service in Service::ALL {
            system.a_moment(Duration::from_millis(300)).await;
            let victim = system.pick(service);
            system.kill(victim);
        }
        // Now and then the next comes before anything has recovered.
        if system.random.random_bool(0.7) || round == plan.rounds {
            system.progress("after kills").await;
        }
        system.round(round, "one of each service was killed");
    }
    system.settle().await
}
