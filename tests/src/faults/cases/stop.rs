//! A process that stands still for so long that others take over, and then goes on as if
//! nothing had happened.

use std::time::Duration;

use crate::faults::report::Report;
use crate::faults::services::Service::{Aggregator, Gateway, Sink};
use crate::faults::system::{Plan, System};

pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    system.start_all(&[Gateway, Aggregator, Aggregator, Sink, Sink]);
    system.start_load();
    for service in [Aggregator, Sink] {
        system.members(service, 2).await;
    }
    system.progress("everything runs").await;
    for round in 1..=plan.rounds {
        let victims = [system.pick(Aggregator), system.pick(Sink)];
        for victim in victims {
            system.a_moment(Duration::from_millis(500)).await;
            system.instances[victim].stop();
        }
        for service in [Aggregator, Sink] {
            system.members(service, 1).await;
        }
        system.progress("others have taken over").await;
        for victim in victims {
            system.a_moment(Duration::from_millis(500)).await;
            system.instances[victim].resume();
        }
        for service in [Aggregator, Sink] {
            system.members(service, 2).await;
        }
        system.progress("the stopped ones are back").await;
        system.round(round, "an aggregator and a sink were stopped and fenced");
    }
    system.settle().await
}
