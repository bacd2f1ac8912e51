//! Leading, taking over, running by hand, and what the history says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::support::{World, eventually};
use crate::job::{Job, Outcome, Run, Spec};
use crate::storage::Storage;

const EVERY_SECOND: (&str, &str) = ("JOB_STORAGE_SCHEDULE", "* * * * * *");
/// Who has a lock, by its connection.
const LEADERS: &str = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
    where l.locktype = 'advisory' and l.granted and l.objid = (hashtext('leader')::bigint & 4294967295)::oid \
    and a.datname = current_database() and a.application_name = 'flowmeter-jobs-lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_takes_over_when_the_leader_ends_or_its_connection_dies() {
    let metrics = platform::telemetry::metrics::install().unwrap();
    let world = World::new().await;
    let start = |instance: &str| {
        let config = world.config(&[EVERY_SECOND, ("INSTANCE_ID", instance)]);
        world.process(config, Arc::new(Storage))
    };
    let first = start("first");
    world.until("select count(*) from flowmeter.job_runs where instance = 'first' and outcome = 'succeeded'").await;
    // An alert looks for an increase, so the counter was there before.
    let timed_out = "flowmeter_job_runs_total{job=\"storage\",outcome=\"timed_out\"} 0\n";
    assert!(metrics.render().contains(timed_out));
    let second = start("second");
    world.until("select count(*) - 1 from pg_stat_activity where datname = current_database() and application_name = 'flowmeter-jobs-lock'").await;
    assert_eq!(world.number(LEADERS).await, 1);
    assert_eq!(
        world
            .number("select count(*) from flowmeter.job_runs where instance = 'second'")
            .await,
        0
    );

    first.stop().await;
    world.until("select count(*) from flowmeter.job_runs where instance = 'second' and outcome = 'succeeded'").await;

    // Now its connection dies, and nobody else is there.
    let killed = format!(
        "select count(pg_terminate_backend(pid)) from ({}) k",
        LEADERS.replace("count(*)", "pid")
    );
    assert_eq!(world.number(&killed).await, 1);
    let last = world.number("select max(id) from flowmeter.job_runs").await;
    world.until(&format!("select count(*) from flowmeter.job_runs where outcome = 'succeeded' and id > {last} + 1")).await;
    assert_eq!(world.number(LEADERS).await, 1);
    second.stop().await;
    world.until(&format!("select 1 - ({LEADERS})")).await;
}

/// Does as it is told.
struct Told {
    spec: &'static Spec,
    begun: AtomicUsize,
    go_on: Notify,
    what: fn(usize) -> anyhow::Result<Value>,
    waits: bool,
}

impl Told {
    fn new(
        spec: &'static Spec,
        waits: bool,
        what: fn(usize) -> anyhow::Result<Value>,
    ) -> Arc<Self> {
        Arc::new(Self {
            spec,
            begun: AtomicUsize::new(0),
            go_on: Notify::new(),
            what,
            waits,
        })
    }
}

impl Job for Told {
    fn spec(&self) -> &'static Spec {
        self.spec
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, anyhow::Result<Value>> {
        async move {
            let time = self.begun.fetch_add(1, Ordering::SeqCst);
            if self.waits {
                tokio::select! {
                    () = self.go_on.notified() => {}
                    () = run.stop.triggered() => {}
                }
            }
            (self.what)(time)
        }
        .boxed()
    }
}

const LONG: Spec = Spec {
    name: "long",
    about: "",
    schedule: "off",
    timeout: Duration::from_secs(600),
};
const SHORT: Spec = Spec {
    timeout: Duration::from_millis(1),
    name: "short",
    ..LONG
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_runs_a_job_that_somebody_runs_and_the_dead_are_known() {
    let world = World::new().await;
    let config = world.config(&[]);
    let job = Told::new(&LONG, true, |time| Ok(json!({ "time": time })));
    let begun = |count: usize| {
        eventually("it has begun", {
            let job = job.clone();
            move || {
                let so_many = job.begun.load(Ordering::SeqCst) >= count;
                async move { so_many.then_some(()) }
            }
        })
    };
    let world = Arc::new(world);
    let spawn = || {
        let (world, config, job) = (world.clone(), config.clone(), job.clone());
        tokio::spawn(async move { world.by_hand(&config, job).await })
    };
    let first = spawn();
    begun(1).await;
    let refused = world.by_hand(&config, job.clone()).await.unwrap_err();
    assert!(
        refused.to_string().contains("is running already"),
        "{refused}"
    );
    job.go_on.notify_one();
    assert_eq!(first.await.unwrap().unwrap(), Outcome::Succeeded);

    // As if its process had died: nothing is told to anybody.
    let second = spawn();
    begun(2).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    let succeeded = Some("succeeded".to_owned());
    assert_eq!(world.outcomes("long").await, [succeeded.clone(), None]);
    job.go_on.notify_one();
    let third = eventually("the lock is free", || async {
        world.by_hand(&config, job.clone()).await.ok()
    });
    assert_eq!(third.await, Outcome::Succeeded);
    assert_eq!(
        world.outcomes("long").await,
        [succeeded.clone(), Some("abandoned".to_owned()), succeeded]
    );
    let details =
        "select (details->>'time')::bigint from flowmeter.job_runs order by id desc limit 1";
    assert_eq!(world.number(details).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_tried_again_and_a_timeout_is_told_as_such() {
    let world = World::new().await;
    let config = world.config(&[]);
    let flaky = Told::new(&LONG, false, |time| match time {
        0 => bail!("not yet"),
        _ => Ok(Value::Null),
    });
    assert_eq!(
        world.by_hand(&config, flaky).await.unwrap(),
        Outcome::Succeeded
    );
    let history = world.outcomes("long").await;
    assert_eq!(
        history,
        [Some("failed".to_owned()), Some("succeeded".to_owned())]
    );
    let told = "select count(*) from flowmeter.job_runs where attempt = 1 and error = 'not yet'";
    assert_eq!(world.number(told).await, 1);

    let slow = Told::new(&SHORT, true, |_| Ok(json!("as far as it came")));
    assert_eq!(
        world.by_hand(&config, slow).await.unwrap(),
        Outcome::TimedOut
    );
    let told = "select count(*) from flowmeter.job_runs where outcome = 'timed_out' and details = '\"as far as it came\"'";
    assert_eq!(world.number(told).await, 1);
}
