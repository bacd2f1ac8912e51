//! A process that stands still for so long that others take over, and then goes on as if
//! nothing had happened.

use std::time::Duration;

use chrono::Utc;

use crate::faults::invariants as check;
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
        let since = Utc::now();
        let victims = [system.pick(Aggregator), system.pick(Sink)];
        for victim in victims {
            system.a_moment(Duration::from_millis(500)).await;
            system.instances[victim].stop();
        }
        for service in [Aggregator, Sink] {
            system.members(service, 1).await;
        }
        let open = check::open_transactions(&system.pipeline.pool).await;
        system.progress("others have taken over").await;
        let pause = system.pause_since(since).await;
        for victim in victims {
            system.a_moment(Duration::from_millis(500)).await;
            system.instances[victim].resume();
        }
        for service in [Aggregator, Sink] {
            system.members(service, 2).await;
        }
        system.progress("the stopped ones are back").await;
        let what = format!(
            "an aggregator and a sink were stopped and replaced, longest pause {pause:.1} s, \
             open transactions of sinks meanwhile: {open:?}"
        );
        system.round(round, &what);
    }
    system.settle().await
}
