//! A connection, the query service and the aggregator end in the middle of live views, under
//! load: what the clients see in the end is what the database has.

use std::time::Duration;

use crate::faults::report::Report;
use crate::faults::services::Service::{Aggregator, Gateway, Query, Sink};
use crate::faults::system::{Plan, System};
use crate::faults::watcher::Watcher;

/// After which a client cuts its own connection.
const PATIENCES: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(3600)];
const VIEWS: [&str; 2] = ["window=1h&group_by=command", "window=1m&group_by=user"];

pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    system.start_all(&[Gateway, Aggregator, Sink]);
    let query = system.start(Query);
    system.start_load();
    system.progress("everything runs").await;
    let port = system.instances[query].port;
    let mut watchers = Vec::new();
    for organization in system.target.organizations.clone() {
        for (view, patience) in VIEWS.into_iter().zip(PATIENCES) {
            let token = system.target.token(organization);
            watchers.push(Watcher::start(port, view, token, patience));
        }
    }
    // Who was never there cannot come back, nor miss anything.
    for watcher in &watchers {
        watcher.has_a_view().await;
    }
    for round in 1..=plan.rounds {
        for service in [Query, Aggregator] {
            system.a_moment(Duration::from_millis(500)).await;
            let victim = system.pick(service);
            system.kill(victim);
            system.progress("after a kill").await;
        }
        system.round(round, "the query service and the aggregator were killed");
    }
    system.calm().await;
    let mut gaps = 0;
    for watcher in watchers {
        let (connections, told) = watcher.ends_with_what_is_stored().await;
        assert!(connections > 1, "it came back");
        gaps += told;
    }
    assert!(
        gaps > 0,
        "who was there before the query service was killed is told a gap"
    );
    system.settle().await
}
