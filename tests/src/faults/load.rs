//! Senders that go on whatever happens, and write down what they were told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use platform::auth::{Identity, Role, issue};
use platform::config::{Env, JwtConfig};
use rand::RngExt;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::direct::Direct;
use super::events::{Event, Stream};
use super::ledger::{Ledger, Outcome};
use crate::pipeline::JWT_SECRET;

/// Events of a request, at most.
const BATCH: u64 = 40;
/// Accepted events that may be sent again.
const REMEMBERED: usize = 300;
/// How long a batch is tried before the test gives up.
const PATIENCE: Duration = Duration::from_secs(240);

/// What senders share.
pub(crate) struct Target {
    pub(crate) base: String,
    pub(crate) organizations: Vec<Uuid>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) direct: Direct,
    http: reqwest::Client,
    tokens: BTreeMap<Uuid, String>,
}

impl Target {
    pub(crate) fn new(base: String, direct: Direct, organizations: Vec<Uuid>) -> Self {
        let jwt = JwtConfig::from_env(&mut Env::from_pairs([("JWT_SECRET", JWT_SECRET)]));
        let token = |organization_id| {
            let identity = Identity {
                user_id: Uuid::new_v4(),
                organization_id,
                role: Role::Admin,
                team_ids: None,
            };
            issue(&jwt, &identity, Duration::from_secs(86_400)).unwrap()
        };
        let http = reqwest::Client::builder().no_proxy();
        Self {
            base,
            ledger: Arc::default(),
            direct,
            http: http.timeout(Duration::from_secs(20)).build().unwrap(),
            tokens: organizations.iter().map(|id| (*id, token(*id))).collect(),
            organizations,
        }
    }

    pub(crate) fn token(&self, organization: Uuid) -> &str {
        &self.tokens[&organization]
    }

    /// Posts events of one organization once. [`Outcome::Unknown`]: to be sent again.
    pub(crate) async fn post(&self, events: &[Event]) -> Vec<Outcome> {
        let mut lists: Map<String, Value> = Map::new();
        let mut places = BTreeMap::new();
        for (at, event) in events.iter().enumerate() {
            let list = lists
                .entry(event.kind.plural())
                .or_insert_with(|| json!([]));
            let list = list.as_array_mut().unwrap();
            places.insert((event.kind.as_str(), list.len() as u64), at);
            list.push(event.body.clone());
        }
        let mut outcomes = vec![Outcome::Unknown; events.len()];
        let request = self.http.post(format!("{}/api/metrics/batch", self.base));
        let token = self.token(events[0].organization);
        let Ok(response) = request.bearer_auth(token).json(&lists).send().await else {
            return outcomes;
        };
        let status = response.status().as_u16();
        let Ok(answer) = response.json::<Value>().await else {
            return outcomes;
        };
        let Some(results) = answer["results"].as_array() else {
            assert!(
                is_temporary(status),
                "a batch was answered {status}: {answer}"
            );
            return outcomes;
        };
        for result in results {
            let place = (
                result["kind"].as_str().unwrap(),
                result["index"].as_u64().unwrap(),
            );
            let refused = || result["http_status"].as_u64().map(|status| status as u16);
            outcomes[places[&place]] = match result["status"].as_str() {
                Some("accepted") => Outcome::Accepted,
                _ if refused().is_none_or(is_temporary) => Outcome::Unknown,
                _ => Outcome::Refused,
            };
        }
        outcomes
    }
}

fn is_temporary(status: u16) -> bool {
    matches!(status, 429 | 500 | 502..=504)
}

/// Running senders.
pub(crate) struct Load {
    ending: CancellationToken,
    senders: JoinSet<()>,
}

impl Load {
    /// Sends about `rate` events a second, of which `poison` of a thousand records do not
    /// count.
    pub(crate) fn start(target: &Arc<Target>, seed: u64, rate: u64, poison: u32) -> Self {
        let ending = CancellationToken::new();
        let mut senders = JoinSet::new();
        let count = 3;
        for number in 0..count {
            let sender = Sender {
                target: target.clone(),
                stream: Stream::new(seed * 1000 + number, &target.organizations),
                remembered: VecDeque::new(),
                poison,
            };
            senders.spawn(sender.run(ending.clone(), rate / count));
        }
        Self { ending, senders }
    }

    /// Fails when a sender did: what one waits for may then never come.
    pub(crate) fn check(&mut self) {
        if let Some(ended) = self.senders.try_join_next() {
            ended.expect("a sender failed");
        }
    }

    /// Lets every sender end what it has begun.
    pub(crate) async fn end(mut self) {
        self.ending.cancel();
        while let Some(ended) = self.senders.join_next().await {
            ended.expect("a sender failed");
        }
    }
}

struct Sender {
    target: Arc<Target>,
    stream: Stream,
    remembered: VecDeque<Event>,
    poison: u32,
}

impl Sender {
    async fn run(mut self, ending: CancellationToken, rate: u64) {
        let mut due = Instant::now();
        while !ending.is_cancelled() {
            let batch = self.stream.batch(BATCH);
            // Late ones do not hurry: a burst after an outage says nothing new.
            due = due.max(Instant::now() - Duration::from_secs(1))
                + Duration::from_micros(1_000_000 * batch.len() as u64 / rate.max(1));
            self.step(batch).await;
            tokio::select! {
                () = sleep_until(due) => {}
                () = ending.cancelled() => {}
            }
        }
    }

    async fn step(&mut self, mut batch: Vec<Event>) {
        let target = self.target.clone();
        let organization = batch[0].organization;
        // Each poison stands for as many records as are in a batch.
        for _ in 0..batch.len() {
            if self.stream.random.random_ratio(self.poison, 1000) {
                let stream = &mut self.stream;
                target
                    .direct
                    .poison(stream, organization, &target.ledger)
                    .await;
            }
        }
        match self.stream.random.random_range(0..20) {
            // By a producer that is not the gateway.
            0 | 1 => {
                for event in batch.iter().filter(|event| event.sound) {
                    target.direct.send(event, &target.ledger).await;
                }
                return;
            }
            // The same ids in another organization are other events.
            2 => {
                let others = &target.organizations;
                let other = others[self.stream.random.random_range(0..others.len())];
                let mut same = batch.clone();
                same.iter_mut().for_each(|event| event.organization = other);
                if other != organization {
                    self.deliver(same).await;
                }
            }
            // Something else under a used id.
            3 => self.contradict().await,
            _ => {}
        }
        self.repeat(organization, &mut batch).await;
        self.deliver(batch).await;
    }

    /// Adds some that were accepted before, with another time, or puts them on the topic.
    async fn repeat(&mut self, organization: Uuid, batch: &mut Vec<Event>) {
        if !self.stream.random.random_bool(0.2) {
            return;
        }
        let ours = |event: &&Event| event.organization == organization;
        let known: Vec<Event> = self.remembered.iter().filter(ours).cloned().collect();
        for event in known.iter().take(self.stream.random.random_range(1..=5)) {
            let again = event.at_another_time(&mut self.stream.random);
            if self.stream.random.random_bool(0.5) {
                batch.push(again);
            } else {
                let target = &self.target;
                target.direct.send(&again, &target.ledger).await;
            }
        }
    }

    async fn contradict(&mut self) {
        let Some(event) = self.remembered.pop_front() else {
            return;
        };
        // Once only, and never sent again itself after that.
        self.remembered.retain(|known| known.key() != event.key());
        let ledger = self.target.ledger.clone();
        let other = event.contradicted();
        loop {
            ledger.conflict(event.key(), false);
            let outcomes = self.target.post(std::slice::from_ref(&other)).await;
            match outcomes[0] {
                Outcome::Accepted => return ledger.conflict(event.key(), true),
                Outcome::Refused => panic!("a sound event was refused: {}", other.body),
                // Some do not ask again.
                Outcome::Unknown if self.stream.random.random_bool(0.2) => return,
                Outcome::Unknown => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Sends a batch until each of its events has an answer; a few are given up before.
    async fn deliver(&mut self, mut left: Vec<Event>) {
        let ledger = self.target.ledger.clone();
        let impatient = self.stream.random.random_bool(0.1);
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(50);
        for event in &left {
            ledger.sending(event.key());
        }
        loop {
            let outcomes = self.target.post(&left).await;
            let mut again = Vec::new();
            for (event, outcome) in left.into_iter().zip(outcomes) {
                ledger.answered(event.key(), outcome);
                match outcome {
                    Outcome::Accepted if event.sound => self.remember(event),
                    Outcome::Accepted => panic!("an unsound event was accepted: {}", event.body),
                    Outcome::Refused if event.sound => {
                        panic!("a sound event was refused: {}", event.body)
                    }
                    Outcome::Refused => {}
                    Outcome::Unknown => again.push(event),
                }
            }
            left = again;
            if left.is_empty() || impatient {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "a batch found no taker within {PATIENCE:?}"
            );
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn remember(&mut self, event: Event) {
        // Only some, so that they are of different ages; and each once, since a batch that holds
        // an id twice is refused for it.
        let is_new = self.remembered.iter().all(|it| it.key() != event.key());
        if self.stream.random.random_bool(0.2) && is_new {
            self.remembered.push_back(event);
        }
        if self.remembered.len() > REMEMBERED {
            self.remembered.pop_front();
        }
    }
}
