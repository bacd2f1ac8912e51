//! A hundred events a request.

use super::{
    batch_peer::{PEERS, Peer},
    ours::Ours,
};
use crate::harness::{
    Bound, Comparison, Context, Goal, Outcome, Pair, Run, Stage, event_load::Plan, peers,
};

/// Events of a request.
const EVENTS: usize = 100;
/// At a time.
const CONNECTIONS: usize = 64;

/// The row.
#[derive(Debug)]
pub(in crate::stages) struct GatewayBatch;

impl Stage for GatewayBatch {
    fn name(&self) -> &'static str {
        "gateway-batch"
    }

    fn about(&self) -> &'static str {
        "100 events of workload W1 a request, 64 connections in a closed loop: the gateway against \
         other services that validate each event, put it on Kafka as a record of its own and \
         answer when all are acknowledged: fastify with JSON Schema and librdkafka, and a \
         pipeline of Benthos, which verifies no tokens. One core each. Needs the stack."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Runtime::new()?;
        let ours = runtime.block_on(Ours::start(context))?;
        let plan = ours.plan(context, EVENTS, CONNECTIONS, context.choose(10.0, 20.0))?;
        let mut outcome = Outcome::default();
        outcome.notes.push(
            "Checked after every run of either side: its topic got as many records as events \
             were accepted. The load has a core, the server another; Kafka's broker runs on both, \
             and the client of Kafka with its server."
                .to_owned(),
        );
        for peer in &PEERS {
            let compared = runtime
                .block_on(peer.start(context, &ours.installation))
                .and_then(|running| {
                    let of_peer = Plan {
                        address: running.address().to_owned(),
                        ..plan.clone()
                    };
                    let pairs = context.alternate(
                        &format!("gateway-batch, {}", peer.name),
                        || ours.load(context, &plan),
                        || running.load(context, &ours.installation, &of_peer),
                    )?;
                    Ok((running.version, pairs))
                });
            match compared {
                Ok((version, pairs)) => {
                    outcome
                        .versions
                        .insert(peer.name.to_owned(), version.clone());
                    outcome.comparisons.push(comparison(peer, &version, pairs));
                }
                // Ours is checked by itself, so that a fault of it is no fault of the peer.
                Err(error) => {
                    ours.load(context, &plan)?;
                    context.say(format!("gateway-batch: {}: {error:#}", peer.name));
                    outcome.absent.push(peers::absent(peer.name, &error));
                }
            }
        }
        let runs = alone(context, &ours, &plan)?;
        outcome.bounds.push(Bound {
            name: "events a second of the gateway's processor time".to_owned(),
            values: runs
                .iter()
                .map(|run| 1e6 / run.cpu_micros_per_event())
                .collect(),
            bound: 400_000.0,
            at_least: true,
        });
        Ok(outcome)
    }
}

/// The gateway by itself, so that its bound does not depend on which peers can be had.
fn alone(context: &Context, ours: &Ours, plan: &Plan) -> anyhow::Result<Vec<Run>> {
    let runs = (0..context.options.pairs).map(|number| {
        let run = ours.load(context, plan)?;
        context.say(format!(
            "gateway-batch: alone, {number}: {:.0}/s, {:.3} us of processor, {:?}",
            run.rate(),
            run.cpu_micros_per_event(),
            run.values
        ));
        Ok(run)
    });
    runs.collect()
}

fn comparison(peer: &Peer, version: &str, pairs: Vec<Pair>) -> Comparison {
    Comparison {
        name: peer.name.to_owned(),
        ours: "flowmeter gateway".to_owned(),
        peer: format!("{} {version}", peer.name),
        unit: "events".to_owned(),
        goal: Goal::RateAtLeast(3.0),
        pairs,
        commands: vec!["bench --only gateway-batch".to_owned()],
    }
}
