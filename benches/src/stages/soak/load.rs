//! Workload W1 as it happens: events of now, posted in batches when they are due.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::sleep_until};
use uuid::Uuid;

use crate::{
    harness::{Run, process::CpuClock, statistics::latencies},
    workload::Workload,
};

/// Events of a batch; the last of an organization may have fewer.
const BATCH: usize = 100;
/// Requests that wait for their answers at a time: more are a gateway that cannot follow, and
/// then nothing is sent until it can, which shows in the latencies.
const IN_FLIGHT: usize = 500;

/// What to post, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Host and port of the gateway.
    pub(super) address: String,
    /// A token for each organization of the workload.
    pub(super) tokens: HashMap<Uuid, String>,
    /// Of the workload.
    pub(super) seed: u64,
    /// Of the workload.
    pub(super) series: u32,
    /// Events a second.
    pub(super) rate: u64,
    /// How long.
    pub(super) seconds: u64,
}

/// Runs a plan. `events` are those that were accepted, `refused` of `values` those that were not;
/// latencies are those of requests from when they were due.
///
/// # Errors
/// If an answer is neither an acceptance nor a refusal for want of room.
pub(super) fn run(plan: &Plan) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(post(plan))
}

async fn post(plan: &Plan) -> anyhow::Result<Run> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let step = 1_000_000 / i64::try_from(plan.rate)?;
    let mut workload =
        Workload::new(plan.seed, plan.series).at(i64::try_from(now.as_micros())?, step);
    let http = Client::builder().no_proxy().build()?;
    let mut waiting: HashMap<Uuid, Vec<String>> = HashMap::new();
    let mut sums = Sums::new()?;
    let mut posts = JoinSet::new();
    let (began, clock) = (Instant::now(), CpuClock::own());
    for number in 0..plan.rate * plan.seconds {
        let draft = workload.draft();
        let organization = workload.series()[draft.series as usize].organization;
        let events = waiting.entry(organization).or_default();
        events.push(workload.json(&draft));
        if events.len() < BATCH {
            continue;
        }
        let due = began + Duration::from_micros(1_000_000 * number / plan.rate);
        sleep_until(due.into()).await;
        while posts.len() >= IN_FLIGHT {
            sums.take(posts.join_next().await.context("nothing is posted")??)?;
        }
        while let Some(answered) = posts.try_join_next() {
            sums.take(answered?)?;
        }
        let events = std::mem::take(events);
        posts.spawn(send(
            http.clone(),
            request(plan, organization, events)?,
            due,
        ));
    }
    let due = Instant::now();
    for (organization, events) in waiting.into_iter().filter(|(_, events)| !events.is_empty()) {
        posts.spawn(send(
            http.clone(),
            request(plan, organization, events)?,
            due,
        ));
    }
    while let Some(answered) = posts.join_next().await {
        sums.take(answered?)?;
    }
    let mut values = latencies(&sums.micros);
    values.insert("refused".to_owned(), sums.refused as f64);
    Ok(Run {
        events: sums.accepted,
        seconds: began.elapsed().as_secs_f64(),
        parts: vec![clock.part("load")],
        values,
    })
}

/// A batch of an organization.
struct Request {
    url: String,
    token: String,
    body: String,
    events: u64,
}

fn request(plan: &Plan, organization: Uuid, events: Vec<String>) -> anyhow::Result<Request> {
    let token = plan.tokens.get(&organization);
    Ok(Request {
        url: format!("http://{}/api/metrics/batch", plan.address),
        token: token.context("an organization without a token")?.clone(),
        body: format!("{{\"command_executions\":[{}]}}", events.join(",")),
        events: events.len() as u64,
    })
}

struct Answered {
    accepted: bool,
    events: u64,
    micros: u64,
}

async fn send(http: Client, request: Request, due: Instant) -> anyhow::Result<Answered> {
    let post = http.post(request.url).bearer_auth(request.token);
    let post = post.header("content-type", "application/json");
    let answer = post.body(request.body).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    let accepted = match status {
        StatusCode::ACCEPTED => true,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => false,
        _ => bail!("answered {status}: {text}"),
    };
    Ok(Answered {
        accepted,
        events: request.events,
        micros: u64::try_from(due.elapsed().as_micros())?,
    })
}

struct Sums {
    accepted: u64,
    refused: u64,
    micros: Histogram<u64>,
}

impl Sums {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            accepted: 0,
            refused: 0,
            micros: Histogram::new(3)?,
        })
    }

    fn take(&mut self, answered: anyhow::Result<Answered>) -> anyhow::Result<()> {
        let answered = answered?;
        if answered.accepted {
            self.accepted += answered.events;
        } else {
            self.refused += answered.events;
        }
        self.micros.record(answered.micros)?;
        Ok(())
    }
}
