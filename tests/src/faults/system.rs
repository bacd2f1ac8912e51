//! A whole Flowmeter of processes under load, for one case.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::answers::answers_are_their_own;
use super::direct::Direct;
use super::invariants as check;
use super::lag;
use super::ledger::Outcome;
use super::links::Links;
use super::load::{Load, Target};
use super::memory::Memory;
use super::report::{HEAD, Report};
use super::rollups::rollups_equal_raw;
use super::services::{Instance, Service, free_port};
use crate::pipeline::{Pipeline, eventually};

/// Whether rollups equal raw rows in every state that was committed, or only once all was
/// read.
const ROLLUPS_EQUAL_RAW_ALWAYS: bool = true;
/// For everything to be read, once nothing more comes and nothing more fails.
const SETTLED_WITHIN: Duration = Duration::from_secs(150);

/// What decides a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) case: &'static str,
    pub(crate) seed: u64,
    pub(crate) rounds: u32,
    /// Events a second.
    pub(crate) rate: u64,
    /// Records that do not count, of a thousand.
    pub(crate) poison: u32,
    /// Of every topic.
    pub(crate) partitions: i32,
}

/// Every job all the time.
fn schedules() -> impl Iterator<Item = (&'static str, String)> {
    let variables = [
        "JOB_RETENTION_SCHEDULE",
        "JOB_RECONCILE_SCHEDULE",
        "JOB_RECONCILE_WIDE_SCHEDULE",
        "JOB_HEALTH_SCHEDULE",
        "JOB_STORAGE_SCHEDULE",
        "JOB_REPORT_SCHEDULE",
    ];
    let every_second = |name| (name, "* * * * * *".to_owned());
    variables.into_iter().map(every_second)
}

// The processes end before the topics and the database go: fields are dropped in this order.
pub(crate) struct System {
    pub(crate) plan: Plan,
    /// Decides which fault comes when.
    pub(crate) random: StdRng,
    pub(crate) instances: Vec<Instance>,
    /// Whether a process that ended by itself is started again, as a supervisor would: one
    /// that waited in vain for the registry ends, and says why.
    pub(crate) supervised: bool,
    load: Option<Load>,
    pub(crate) target: Arc<Target>,
    pub(crate) links: Links,
    pub(crate) pipeline: Pipeline,
    logs: PathBuf,
    began: Instant,
    load_began: DateTime<Utc>,
    gateway_port: u16,
    memory: Memory,
    longest_pause: f64,
    started: usize,
}

impl System {
    /// Topics, a database, proxies, and no service yet.
    pub(crate) async fn new(plan: Plan) -> Self {
        println!("{}: FAULT_SEED={}", plan.case, plan.seed);
        let pipeline = Pipeline::prepare(plan.partitions).await;
        check::watch_cursors(&pipeline.pool).await;
        let gateway_port = free_port();
        let links = Links::new(gateway_port).await;
        let base = format!("http://127.0.0.1:{}", links.clients.port);
        let mut random = StdRng::seed_from_u64(plan.seed);
        let organizations = (0..3).map(|_| Uuid::from_u128(random.random())).collect();
        let direct = Direct::new(&pipeline).await;
        let logs = std::env::temp_dir().join(format!("flowmeter-faults-{}", Uuid::new_v4()));
        std::fs::create_dir(&logs).unwrap();
        Self {
            plan,
            random,
            instances: Vec::new(),
            supervised: false,
            load: None,
            target: Arc::new(Target::new(base, direct, organizations)),
            links,
            pipeline,
            logs,
            gateway_port,
            began: Instant::now(),
            load_began: Utc::now(),
            memory: Memory::default(),
            longest_pause: 0.0,
            started: 0,
        }
    }

    /// Starts one more process of a service; gives its place among the instances.
    pub(crate) fn start(&mut self, service: Service) -> usize {
        let mut variables = self.pipeline.variables();
        let database = self.pipeline.database.url_text();
        variables.extend(self.links.variables(service, database));
        if service == Service::Jobs {
            variables.extend(schedules());
        }
        let port = match service {
            Service::Gateway => self.gateway_port,
            _ => free_port(),
        };
        self.started += 1;
        let instance = Instance::start(service, self.started, port, variables, &self.logs);
        self.instances.push(instance);
        self.instances.len() - 1
    }

    pub(crate) fn start_all(&mut self, services: &[Service]) {
        for service in services {
            self.start(*service);
        }
    }

    pub(crate) fn start_load(&mut self) {
        let Plan {
            seed, rate, poison, ..
        } = self.plan;
        self.load_began = Utc::now();
        self.load = Some(Load::start(&self.target, seed, rate, poison));
    }

    /// Some instance of a service.
    pub(crate) fn pick(&mut self, service: Service) -> usize {
        let ours = |(at, instance): (usize, &Instance)| (instance.service == service).then_some(at);
        let all: Vec<usize> = self.instances.iter().enumerate().filter_map(ours).collect();
        all[self.random.random_range(0..all.len())]
    }

    /// Kills an instance and starts it again.
    pub(crate) fn kill(&mut self, at: usize) {
        let same_name = self.random.random_bool(0.7);
        let instance = &mut self.instances[at];
        let ended = !self.supervised && !instance.is_running();
        assert!(!ended, "{} ended by itself", instance.name);
        instance.kill();
        instance.run(same_name);
        self.memory.forget(&self.instances[at]);
    }

    /// Kills an instance, which stays down.
    pub(crate) fn put_down(&mut self, at: usize) {
        self.instances[at].kill();
        self.memory.forget(&self.instances[at]);
    }

    /// Lets a moment pass: a fault comes at any time, and that time is part of the fault.
    pub(crate) async fn a_moment(&mut self, longest: Duration) {
        let most = longest.as_micros() as u64;
        let moment = Duration::from_micros(self.random.random_range(0..=most));
        sleep(moment).await;
    }

    /// Waits until an event is stored that was accepted after this was called.
    pub(crate) async fn progress(&mut self, what: &str) {
        if let Some(load) = &mut self.load {
            load.check();
        }
        let ledger = self.target.ledger.clone();
        let before = ledger.books().last_accepted;
        let (instances, supervised) = (&mut self.instances, self.supervised);
        let (organization, id) = eventually(&format!("{what}: an event is accepted"), || {
            for instance in instances.iter_mut().filter(|_| supervised) {
                instance.start_again_if_ended();
            }
            let last = ledger.books().last_accepted;
            async move { last.filter(|_| last != before) }
        })
        .await;
        eventually(
            &format!("{what}: event {id} of {organization} is stored"),
            || check::is_stored(&self.pipeline.pool, organization, id),
        )
        .await;
        self.memory.look(&self.instances);
        if ROLLUPS_EQUAL_RAW_ALWAYS {
            rollups_equal_raw(&self.pipeline.pool, what).await;
        }
    }

    /// The longest time without anything stored since `since`, which counts in the report.
    pub(crate) async fn pause_since(&mut self, since: DateTime<Utc>) -> f64 {
        let pause = check::longest_pause(&self.pipeline.pool, since, Utc::now()).await;
        self.longest_pause = self.longest_pause.max(pause);
        pause
    }

    pub(crate) fn group(&self, service: Service) -> String {
        format!("{}-{}", self.pipeline.kafka.name("group"), service.name())
    }

    /// Waits until the group has so many members and is not about to change.
    pub(crate) async fn members(&self, service: Service, count: usize) {
        eventually(
            &format!("{count} members of {service:?}'s group"),
            || async {
                let found = lag::members(self.group(service)).await;
                (found == Some(count)).then_some(())
            },
        )
        .await;
    }

    pub(crate) fn round(&self, round: u32, what: &str) {
        let books = self.target.ledger.books();
        println!(
            "{} {round}/{}: {what}; {} events accepted after {} s",
            self.plan.case,
            self.plan.rounds,
            books.count(Outcome::Accepted),
            self.began.elapsed().as_secs()
        );
    }

    /// Waits until all was read: nothing fails any more.
    pub(crate) async fn drain(&self) {
        let deadline = Instant::now() + SETTLED_WITHIN;
        let prefix = self.pipeline.kafka.name("group");
        let (topics, partitions) = (&self.pipeline.topics, self.plan.partitions);
        loop {
            let pool = &self.pipeline.pool;
            let Err(left) = lag::nothing_is_left(topics, &prefix, partitions, pool).await else {
                return;
            };
            let patient = Instant::now() < deadline;
            assert!(patient, "I6: there is lag after {SETTLED_WITHIN:?}: {left}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the load, and waits until all was read.
    pub(crate) async fn calm(&mut self) {
        let load_ended = Utc::now();
        if let Some(load) = self.load.take() {
            load.end().await;
            let pause = check::longest_pause(&self.pipeline.pool, self.load_began, load_ended);
            self.longest_pause = self.longest_pause.max(pause.await);
        }
        self.drain().await;
    }

    /// Ends the load, waits until all was read, and holds everything against the ledger.
    pub(crate) async fn settle(mut self) -> Report {
        self.calm().await;
        let pool = &self.pipeline.pool;
        let stored = check::stored(pool).await;
        let ledger = self.target.ledger.clone();
        check::accepted_is_stored_once(&ledger.books(), &stored);
        let books = std::mem::take(&mut *ledger.books());
        let dead_letters = check::dead_letters_are_exact(pool, &books).await;
        check::cursors_never_went_back(pool).await;
        rollups_equal_raw(pool, "when all was read").await;
        self.memory.is_flat();
        let ports = self
            .instances
            .iter()
            .filter(|i| i.service == Service::Query);
        for port in ports.map(|instance| instance.port) {
            answers_are_their_own(&self.target, pool, port).await;
        }
        for instance in &mut self.instances {
            instance.end().await;
        }
        let report = Report {
            case: self.plan.case.to_owned(),
            rounds: self.plan.rounds,
            events: books.count(Outcome::Accepted),
            repeated: books.repeated,
            unknown: books.count(Outcome::Unknown),
            dead_letters,
            longest_pause: self.longest_pause,
            memory: self.memory.largest,
            took: self.began.elapsed(),
        };
        println!("{HEAD}\n{report}");
        report
    }
}

/// What the services said is shown when the case failed, and gone otherwise.
impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "{}: failed with FAULT_SEED={}",
                self.plan.case, self.plan.seed
            );
            for instance in &self.instances {
                println!("--- {}\n{}", instance.name, instance.last_words(40));
            }
            println!("the whole logs are in {}", self.logs.display());
        } else {
            // In the system's folder for temporary files it does not stay for ever.
            let _ = std::fs::remove_dir_all(&self.logs);
        }
    }
}
