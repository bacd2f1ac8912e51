//! The gateway: one event a request against a handler that does nothing with it, and a hundred
//! a request against other ways to put events on Kafka.

mod bare;
mod batch;
mod batch_peer;
mod ours;
mod single;

use std::time::Duration;

use anyhow::ensure;

pub(super) use self::{bare::serve, batch::GatewayBatch, single::Gateway};
use crate::harness::{
    Context, Run,
    event_load::Plan,
    installation::{Installation, Service},
};

/// For one run of the load.
const PATIENCE: Duration = Duration::from_secs(300);

/// Loads a server by a worker. The parts of the run are the server's; how much of its core the
/// load used is `load_share` in its values, of 1.
fn load(context: &Context, server: &Service, name: &str, plan: &Plan) -> anyhow::Result<Run> {
    let command = context.planned_worker(Some(&context.cores.load), "event-load", plan)?;
    let clock = server.clock();
    let mut run = context.measure(command, PATIENCE)?;
    let load: f64 = run.parts.iter().map(|part| part.cpu_seconds).sum();
    run.values
        .insert("load_share".to_owned(), load / run.seconds);
    run.parts = vec![clock.part(name)];
    Ok(run)
}

/// The same of a server that puts every event on a topic as a record of its own.
///
/// # Errors
/// If the topic did not get as many records as events were accepted.
fn load_checked(
    context: &Context,
    installation: &Installation,
    topic: &str,
    server: &Service,
    name: &str,
    plan: &Plan,
) -> anyhow::Result<Run> {
    let before = installation.records(topic)?;
    let run = load(context, server, name, plan)?;
    let records = installation.records(topic)? - before;
    ensure!(
        records == run.events,
        "{name}: {} events accepted, and {records} in the topic",
        run.events
    );
    Ok(run)
}
