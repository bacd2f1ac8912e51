//! Instances that come and go under load.

use chrono::Utc;

use crate::faults::report::Report;
use crate::faults::services::Service::{self, Aggregator, Gateway, Sink};
use crate::faults::system::{Plan, System};

/// How many there are, one after the other.
const STEPS: [usize; 6] = [2, 4, 3, 2, 1, 2];

pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    system.start_all(&[Gateway, Aggregator, Sink]);
    system.start_load();
    system.progress("everything runs").await;
    for round in 1..=plan.rounds {
        let wanted = STEPS[(round as usize - 1) % STEPS.len()];
        for service in [Aggregator, Sink] {
            let since = Utc::now();
            let before = count(&system, service);
            while count(&system, service) < wanted {
                system.start(service);
            }
            while count(&system, service) > wanted {
                let leaver = system.pick(service);
                system.instances[leaver].end().await;
                system.instances.remove(leaver);
            }
            system.members(service, wanted).await;
            system.progress("after a rebalance").await;
            let pause = system.pause_since(since).await;
            let change = format!("{service:?} {before} -> {wanted}, longest pause {pause:.2} s");
            system.round(round, &change);
        }
    }
    system.settle().await
}

fn count(system: &System, service: Service) -> usize {
    let ours = system.instances.iter().filter(|i| i.service == service);
    ours.count()
}
