//! One event a request.

use super::{bare, ours::Ours};
use crate::harness::{
    Bound, Comparison, Context, Goal, Outcome, Run, Stage, event_load::Plan, statistics::Spread,
};

/// An answer waits for the burst before its own and for the broker, so it takes so many requests
/// at a time to keep a core busy.
const CONNECTIONS: usize = 256;

/// The row.
#[derive(Debug)]
pub(in crate::stages) struct Gateway;

impl Stage for Gateway {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn about(&self) -> &'static str {
        "One event of workload W1 a request, 256 connections in a closed loop: the gateway, which \
         answers when Kafka has the event, against axum with a handler that reads the body and \
         answers 202. Then the gateway in an open loop at half of its largest rate. Needs the \
         stack."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Runtime::new()?;
        let ours = runtime.block_on(Ours::start(context))?;
        let bare = bare::start(context, &ours.installation)?;
        let plan = ours.plan(context, 1, CONNECTIONS, context.choose(10.0, 20.0))?;
        let of_bare = Plan {
            address: bare.address().to_owned(),
            ..plan.clone()
        };
        let pairs = context.alternate(
            "gateway",
            || ours.load(context, &plan),
            || super::load(context, &bare, "axum", &of_bare),
        )?;
        let mut outcome = Outcome::default();
        outcome.notes.push(format!(
            "Checked after every run of the gateway: its topic got as many records as events were \
             accepted. The load has a core, the server another; Kafka's broker runs on both, and \
             the client of Kafka with the gateway. Each request carries a token, which the \
             gateway verifies. LOG_LEVEL=warn, so requests are not logged. The load used {} of \
             its core against the gateway, {} against axum.",
            share(pairs.iter().map(|pair| &pair.ours)),
            share(pairs.iter().map(|pair| &pair.peer)),
        ));
        let largest: Spread = pairs.iter().map(|pair| pair.ours.rate()).collect();
        outcome.comparisons.push(Comparison {
            name: "bare".to_owned(),
            ours: "flowmeter gateway".to_owned(),
            peer: "axum alone".to_owned(),
            unit: "events".to_owned(),
            goal: Goal::RateAtLeast(0.5),
            pairs,
            commands: vec!["bench --only gateway".to_owned()],
        });
        let half = Plan {
            rate: Some((largest.median / 2.0).floor()),
            ..plan
        };
        open_loop(context, &ours, &half, &mut outcome)?;
        Ok(outcome)
    }
}

/// As often as there are pairs, after one run that does not count.
fn open_loop(
    context: &Context,
    ours: &Ours,
    plan: &Plan,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for number in 0..=context.options.pairs {
        let run = ours.load(context, plan)?;
        context.say(format!(
            "gateway: open loop, {number}: {:.0}/s, {:?}",
            run.rate(),
            run.values
        ));
        if number > 0 {
            runs.push(run);
        }
    }
    outcome.bounds.push(Bound {
        name: "p99 at half of the largest rate, from when a request was due, ms".to_owned(),
        values: runs.iter().map(|run| run.values["p99_ms"]).collect(),
        bound: 10.0,
        at_least: false,
    });
    let told = |name: &str| -> Spread { runs.iter().map(|run| run.values[name]).collect() };
    outcome.notes.push(format!(
        "Open loop at {:.0} requests a second: p50 {:.1} ms, p95 {:.1} ms.",
        plan.rate.unwrap_or_default(),
        told("p50_ms"),
        told("p95_ms"),
    ));
    Ok(())
}

/// The median of what the load used of its core, in percent.
fn share<'r>(runs: impl Iterator<Item = &'r Run>) -> String {
    let spread: Spread = runs.map(|run| run.values["load_share"]).collect();
    format!("{:.0} %", spread.median * 100.0)
}
