//! Refused records are looked at and sent again: each counts once, however often and wherever
//! a replay is begun, ended or killed.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use flowmeter::dead_letters::{
    Dimension, FilterArgs, Letter, ListArgs, Listing, ReplayArgs, ReplayReport, ShowArgs, Shown,
    State, list, replay, show,
};
use indicatif::ProgressBar;
use platform::auth::Role;
use platform::config::KafkaConfig;
use platform::kafka::transactions::TransactionalProducer;
use platform::lifecycle::Shutdown;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use schemas::dead_letter::{Position, REPLAY_OF, Replayed};
use serde_json::{Value, json};
use sqlx::Row;
use uuid::Uuid;

use crate::client::Client;
use crate::foreign_producers::{Avro, Foreign};
use crate::pipeline::{Pipeline, eventually};

/// An operator at a terminal.
pub(crate) struct Operator(KafkaConfig);

impl Operator {
    pub(crate) fn of(pipeline: &Pipeline) -> Self {
        Self(KafkaConfig::from_env(&mut pipeline.env()))
    }

    async fn list(&self, state: State, each: bool) -> Listing {
        let args = ListArgs {
            filter: FilterArgs::default(),
            state,
            group_by: vec![Dimension::Reason, Dimension::Client],
            each,
            limit: None,
            json: false,
        };
        list(&self.0, &args, &ProgressBar::hidden()).await.unwrap()
    }

    pub(crate) async fn open(&self) -> Vec<Letter> {
        self.list(State::Open, true).await.letters
    }

    async fn show(&self, position: &Position) -> Option<Shown> {
        let args = ShowArgs {
            position: position.clone(),
            json: false,
        };
        show(&self.0, &args, &ProgressBar::hidden()).await.unwrap()
    }

    pub(crate) async fn replay(
        &self,
        reason: &str,
        limit: Option<usize>,
        dry_run: bool,
    ) -> ReplayReport {
        let filter = FilterArgs {
            reason: vec![reason.to_owned()],
            ..FilterArgs::default()
        };
        self.try_replay(filter, limit, dry_run, &Shutdown::new())
            .await
            .unwrap()
    }

    async fn try_replay(
        &self,
        filter: FilterArgs,
        limit: Option<usize>,
        dry_run: bool,
        stop: &Shutdown,
    ) -> anyhow::Result<ReplayReport> {
        let args = ReplayArgs {
            filter,
            all: false,
            limit,
            dry_run,
            rate: 0,
            json: false,
        };
        replay(&self.0, &args, &ProgressBar::hidden(), stop).await
    }
}

/// The ends of a topic's two partitions, added up, whatever is committed.
async fn end(topic: &str) -> i64 {
    let topic = topic.to_owned();
    let read = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", platform::test_support::kafka().brokers)
            .set("isolation.level", "read_uncommitted")
            .create()
            .unwrap();
        let bound = Duration::from_secs(30);
        let end = |partition| {
            consumer
                .fetch_watermarks(&topic, partition, bound)
                .unwrap()
                .1
        };
        end(0) + end(1)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

pub(crate) async fn until(pipeline: &Pipeline, query: &'static str, wanted: i64) {
    eventually(query, || async {
        let found = pipeline.number(query).await;
        assert!(found <= wanted, "{query}: {found} of {wanted}");
        (found == wanted).then_some(())
    })
    .await;
}

pub(crate) const LETTERS: &str = "select count(*) from flowmeter.dead_letters";
pub(crate) const REPLAYED: &str =
    "select count(*) from flowmeter.dead_letters where replayed_at is not null";
pub(crate) const STORED: &str = "select count(*) from flowmeter.command_executions";
pub(crate) const COUNTED: &str = "select coalesce(sum(event_count), 0)::bigint from flowmeter.rollups_1d \
     where scope = 'organization'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_replayed_once() {
    let mut pipeline = Pipeline::start().await;
    let foreign = Foreign::new(&pipeline).await;
    let operator = Operator::of(&pipeline);
    assert_eq!(operator.list(State::All, false).await.total, 0);

    // A setting that is wrong: everything older than a day is refused.
    pipeline.stop().await;
    pipeline.set(&[("DATA_RETENTION_DAYS", "1")]);
    pipeline.resume().await;
    let organization = Uuid::new_v4();
    let at = Utc::now() - TimeDelta::days(2);
    let clients = [Some("hook/1.0"), Some("hook/1.1"), Some("hook/1.0"), None];
    let mut sent = Vec::new();
    for (n, client) in (1..).zip(clients.into_iter().chain(clients.into_iter().take(3))) {
        let user = Uuid::new_v4();
        let value = foreign.command_at(organization, user, n * 10, at);
        let key = format!("{organization}:{user}");
        let place = foreign.send_as(Some(&key), &value, client).await;
        sent.push((place, key, value));
    }
    let unknown = Avro::default().text("x").framed(2_000_000_000);
    foreign.send_as(Some("k"), &unknown, Some("hook/2.0")).await;
    foreign.send_as(None, &unknown, Some("hook/2.0")).await;
    until(&pipeline, LETTERS, 9).await;

    let listing = operator.list(State::Open, false).await;
    let groups: Vec<_> = listing
        .groups
        .iter()
        .map(|group| (group.key.join(" "), group.count))
        .collect();
    let group = |name: &str, count| (name.to_owned(), count);
    assert_eq!(
        groups,
        [
            group("invalid hook/1.0", 4),
            group("invalid hook/1.1", 2),
            group("unknown_schema hook/2.0", 2),
            group("invalid unknown", 1),
        ]
    );
    let of_a_client = "select count(*) from flowmeter.dead_letters where client = 'hook/1.0'";
    assert_eq!(pipeline.number(of_a_client).await, 4);

    // Shown with its value, by its writer's schema, or not at all.
    let ((partition, offset), key, _) = &sent[0];
    let first = Position {
        topic: foreign.topic.clone(),
        partition: *partition,
        offset: *offset,
    };
    let shown = operator.show(&first).await.unwrap();
    assert_eq!(shown.record.key.as_deref(), Some(key.as_bytes()));
    assert_eq!(shown.value.unwrap()["execution_time_ms"], json!(10));
    assert_eq!(shown.replayed_at, None);
    let nowhere = format!("{}/0/999999", foreign.topic).parse().unwrap();
    assert!(operator.show(&nowhere).await.is_none());

    // Without a filter nothing is done, and a dry run sends nothing.
    let topics = [foreign.topic.clone(), pipeline.topics.dead_letters()];
    let before = [end(&topics[0]).await, end(&topics[1]).await];
    let stop = Shutdown::new();
    let everything = operator.try_replay(FilterArgs::default(), None, false, &stop);
    assert!(everything.await.is_err());
    let dry = operator.replay("invalid", None, true).await;
    assert_eq!((dry.letters, dry.replayed, dry.groups.len()), (7, 0, 3));
    assert_eq!([end(&topics[0]).await, end(&topics[1]).await], before);

    // The setting is mended. One replay is limited, the next one killed before its commit.
    pipeline.stop().await;
    pipeline.set(&[]);
    pipeline.resume().await;
    let limited = operator.replay("invalid", Some(3), false).await;
    assert_eq!((limited.letters, limited.replayed), (3, 3));
    let killed = half_a_replay(&operator, &topics, &sent).await;
    let rest = operator.replay("invalid", None, false).await;
    assert_eq!(
        (rest.letters, rest.replayed),
        (4, 4),
        "those that were left"
    );
    drop(killed);
    let again = operator.replay("invalid", None, false).await;
    assert_eq!((again.letters, again.replayed), (0, 0));

    until(&pipeline, STORED, 7).await;
    until(&pipeline, COUNTED, 7).await;
    until(&pipeline, REPLAYED, 7).await;
    assert_eq!(operator.list(State::Replayed, false).await.total, 7);
    assert!(operator.show(&first).await.unwrap().replayed_at.is_some());
    assert_rollups_equal_raw(&pipeline, organization).await;

    // What is refused again is a letter again, and open.
    for round in 1..=2 {
        let old = operator.open().await;
        assert_eq!(old.len(), 2);
        let report = operator.replay("unknown_schema", None, false).await;
        assert_eq!((report.letters, report.replayed), (2, 2));
        until(&pipeline, LETTERS, 9 + 2 * round).await;
        let new = operator.open().await;
        assert_eq!(new.len(), 2);
        for letter in &new {
            assert_eq!(letter.client.as_deref(), Some("hook/2.0"));
            let record = operator.show(&letter.source()).await.unwrap().record;
            let of: Vec<_> = record
                .headers
                .iter()
                .filter(|(n, _)| n == REPLAY_OF)
                .collect();
            assert_eq!(of.len(), 1, "{record:?}");
            let of = std::str::from_utf8(of[0].1.as_deref().unwrap()).unwrap();
            assert!(old.iter().any(|l| l.source().to_string() == of), "{of}");
            assert_eq!(record.header("theirs"), Some(&b"kept"[..]));
        }
    }
    until(&pipeline, REPLAYED, 11).await;
    assert_eq!(pipeline.number(STORED).await, 7);
    assert_eq!(operator.list(State::All, false).await.total, 13);

    // An interrupted one leaves everything open.
    let stop = Shutdown::new();
    stop.trigger();
    let filter = FilterArgs {
        reason: vec!["unknown_schema".to_owned()],
        ..FilterArgs::default()
    };
    let interrupted = operator.try_replay(filter, None, false, &stop).await;
    assert!(interrupted.is_err());
    assert_eq!(operator.open().await.len(), 2);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_replays_the_organizations_own_over_http() {
    let mut pipeline = Pipeline::start().await;
    let foreign = Foreign::new(&pipeline).await;
    pipeline.stop().await;
    pipeline.set(&[("DATA_RETENTION_DAYS", "1")]);
    pipeline.resume().await;
    let [ours, theirs] = [Uuid::new_v4(), Uuid::new_v4()];
    let at = Utc::now() - TimeDelta::days(2);
    for (n, organization) in (1..).zip([ours, ours, ours, theirs]) {
        let user = Uuid::new_v4();
        let value = foreign.command_at(organization, user, n * 10, at);
        let key = format!("{organization}:{user}");
        foreign.send_as(Some(&key), &value, Some("hook/1.0")).await;
    }
    until(&pipeline, LETTERS, 4).await;
    pipeline.stop().await;
    pipeline.set(&[]);
    pipeline.resume().await;

    let client = Client::of(&pipeline, ours, Role::Admin);
    let letters = "/api/metrics/dead-letters";
    let (status, listed) = client.get(letters).await;
    assert_eq!(status, 200, "{listed}");
    assert_eq!(listed["groups"][0]["count"], 3);
    let first = listed["data"][2]["id"].clone();

    let replay = "/api/metrics/dead-letters/replay";
    let (status, dry) = client.post(replay, &json!({})).await;
    assert_eq!(status, 200, "{dry}");
    assert_eq!(
        (&dry["dry_run"], &dry["matched"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(dry["replayed"], 0);
    let one = json!({"dry_run": false, "ids": [first]});
    let (_, one) = client.post(replay, &one).await;
    assert_eq!(
        (&one["matched"], &one["replayed"]),
        (&json!(1), &json!(1)),
        "{one}"
    );
    let rest = json!({"dry_run": false, "reason": "invalid", "client": "hook/*"});
    let (_, rest) = client.post(replay, &rest).await;
    assert_eq!(
        (&rest["matched"], &rest["replayed"]),
        (&json!(2), &json!(2)),
        "{rest}"
    );
    let all = json!({"dry_run": false, "all": true});
    let (_, again) = client.post(replay, &all).await;
    assert_eq!(
        (&again["matched"], &again["replayed"]),
        (&json!(0), &json!(0))
    );
    until(&pipeline, STORED, 3).await;
    until(&pipeline, REPLAYED, 3).await;

    let viewer = Client::of(&pipeline, ours, Role::Manager);
    assert_eq!(viewer.post(replay, &all).await.0, 403);
    pipeline.stop().await;
}

/// Does what a replay does, up to the commit: a letter's record and its marker are in the log.
async fn half_a_replay(
    operator: &Operator,
    topics: &[String; 2],
    sent: &[((i32, i64), String, Vec<u8>)],
) -> TransactionalProducer {
    let letter = operator.open().await.remove(0);
    let place = (letter.source_partition, letter.source_offset);
    let (_, key, value) = sent.iter().find(|(p, _, _)| *p == place).unwrap();
    let id = format!("{}-replay", operator.0.group_prefix);
    let (key, value, [events, letters]) = (key.clone(), value.clone(), topics.clone());
    let before = end(&events).await + end(&letters).await;
    let (to, of) = (events.clone(), letters.clone());
    let begin = move || {
        let kafka = platform::test_support::kafka();
        let producer = TransactionalProducer::new(&kafka, &id, Duration::from_secs(60)).unwrap();
        producer.begin().unwrap();
        let key = Some(key.as_bytes());
        producer.send(&to, key, Some(&value), &[]).unwrap();
        let marker = Replayed {
            source: letter.source(),
            letter_offset: letter.offset,
        };
        let headers = marker.headers();
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (*n, Some(v.as_bytes())))
            .collect();
        producer
            .send_to(&of, Some(letter.partition), key, None, &headers)
            .unwrap();
        producer.flush().unwrap();
        producer
    };
    let producer = tokio::task::spawn_blocking(begin).await.unwrap();
    eventually("both records are in the log", || async {
        (end(&events).await + end(&letters).await >= before + 2).then_some(())
    })
    .await;
    producer
}

/// The hours of commands, as the query API has them, are those of the raw rows.
pub(crate) async fn assert_rollups_equal_raw(pipeline: &Pipeline, organization: Uuid) {
    let client = Client::of(pipeline, organization, Role::Admin);
    let start = (Utc::now() - TimeDelta::days(4)).format("%FT%TZ");
    for (window, interval) in [("1m", "1 minute"), ("1h", "1 hour"), ("1d", "1 day")] {
        let query = format!("start_date={start}&aggregation_window={window}&group_by=none");
        let told: Vec<(Value, Value)> = client
            .aggregated(&query)
            .await
            .into_iter()
            .map(|row| {
                let commands = &row["commands"];
                let sum = commands["execution_time_ms"]["sum"].clone();
                (commands["count"].clone(), sum)
            })
            .collect();
        let raw: Vec<(Value, Value)> = sqlx::query(
            "select count(*), sum(execution_time_ms)::bigint from flowmeter.command_executions \
             where organization_id = $1 group by date_bin($2::text::interval, \"timestamp\", 'epoch')",
        )
        .bind(organization)
        .bind(interval)
        .fetch_all(&pipeline.pool)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.get::<i64, _>(0).into(), row.get::<i64, _>(1).into()))
        .collect();
        assert_eq!(told, raw, "{window}");
    }
}
