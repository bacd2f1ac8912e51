//! A pipeline of the test's own: topics, schemas, a database, and producers in place of the
//! gateway and the aggregator.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use platform::{
    config::Env,
    database::Role,
    http::health::{CheckReport, Health},
    kafka::{
        consumer::{ConsumerSettings, PartitionConsumer},
        producer::{EventProducer, ProducerSettings},
        provision::{TopicDefaults, provision, register},
        registry::{RegistryClient, frame},
        transactions::TransactionalProducer,
    },
    lifecycle::Shutdown,
    test_support::{TestDatabase, TestTopics, kafka, required_env},
};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use schemas::{
    Event, EventKind, Rollup, Source, Timestamp, Topics, Usd, Watermarks, Window,
    codec::{encode_event, event_schema},
    event::{CommandExecution, Status},
    rollup::{Scope, Series},
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{SinkConfig, run};

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Pipeline {
    pub(super) topics: Topics,
    pub(super) pool: PgPool,
    pub(super) producer: EventProducer,
    /// Of the schemas, by topic.
    ids: HashMap<String, i32>,
    /// The next offset that a published event is said to come from.
    next_offset: AtomicI64,
    // Dropped last: the pool is closed by then.
    database: TestDatabase,
    names: TestTopics,
}

impl Pipeline {
    pub(super) async fn new(partitions: i32) -> Self {
        let (database, names) = (TestDatabase::create().await, TestTopics::new());
        let topics = Topics::new(names.prefix());
        let registry = RegistryClient::new(&required_env("SCHEMA_REGISTRY_URL"), PATIENCE).unwrap();
        let defaults = TopicDefaults {
            partitions,
            replication: -1,
            retention: Duration::from_secs(86_400),
            dead_letter_retention: Duration::from_secs(86_400),
        };
        provision(&kafka(), &registry, &topics, &defaults)
            .await
            .unwrap();
        let mut ids = HashMap::new();
        for kind in EventKind::ALL {
            let (topic, schema) = (topics.events(kind), event_schema(kind));
            let id = register(&registry, &topic, schema).await.unwrap();
            ids.insert(topic, id);
        }
        Self {
            topics,
            pool: database.pool(Role::Owner).await,
            producer: EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap(),
            ids,
            next_offset: AtomicI64::new(0),
            database,
            names,
        }
    }

    pub(super) fn config(&self) -> SinkConfig {
        let mut env = Env::from_pairs([
            ("KAFKA_BROKERS", required_env("KAFKA_BROKERS").as_str()),
            (
                "SCHEMA_REGISTRY_URL",
                required_env("SCHEMA_REGISTRY_URL").as_str(),
            ),
            ("KAFKA_TOPIC_PREFIX", self.names.prefix()),
            ("KAFKA_GROUP_PREFIX", self.names.name("group").as_str()),
            ("DATABASE_URL", self.database.url_text()),
        ]);
        let config = SinkConfig::from_env(&mut env);
        env.finish().unwrap();
        config
    }

    /// Starts a sink.
    pub(super) fn start(&self) -> Running {
        self.start_with(self.config())
    }

    /// Starts one with settings of the test's own.
    pub(super) fn start_with(&self, config: SinkConfig) -> Running {
        let (health, shutdown) = (Health::new("sink", "test"), Shutdown::new());
        let task = tokio::spawn(run(config, health.component("sink"), shutdown.clone()));
        Running {
            health,
            shutdown,
            task,
        }
    }

    /// Publishes events as admitted, and waits for the broker.
    pub(super) async fn publish(&self, events: &[Event]) {
        let topic = self.topics.admitted();
        let mut deliveries = Vec::new();
        for event in events {
            let Admitted { key, value, source } = self.admitted(event);
            let headers = [(Source::HEADER, source.as_bytes())];
            let sent = self
                .producer
                .enqueue(&topic, key.as_bytes(), &value, &headers);
            deliveries.push(sent.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }

    fn admitted(&self, event: &Event) -> Admitted {
        let source = Source {
            kind: event.kind(),
            partition: 0,
            offset: self.next_offset.fetch_add(1, Ordering::Relaxed),
            log_time: now(),
        };
        Admitted {
            key: event.key(),
            value: self.value(event),
            source: source.to_string(),
        }
    }

    /// The value of an event's record.
    pub(super) fn value(&self, event: &Event) -> Vec<u8> {
        let id = self.ids[&self.topics.events(event.kind())];
        frame(id, &encode_event(event).unwrap())
    }

    /// Who is in the sinks' group, by the brokers' names for them.
    pub(super) async fn members(&self) -> Vec<String> {
        let group = self.config().group();
        let ask = move || {
            let consumer: BaseConsumer = kafka().base().create().unwrap();
            let groups = consumer.fetch_group_list(Some(&group), PATIENCE).unwrap();
            let members = groups.groups().iter().flat_map(|group| group.members());
            members.map(|member| member.id().to_owned()).collect()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// An aggregator's way to publish.
    pub(super) fn aggregator(&self) -> Aggregator<'_> {
        let group = ConsumerSettings::new(&self.names.name("aggregator"));
        let id = self.names.name(&Uuid::new_v4().to_string());
        Aggregator {
            pipeline: self,
            consumer: PartitionConsumer::new(&kafka(), &group, &[&self.topics.admitted()]).unwrap(),
            producer: TransactionalProducer::new(&kafka(), &id, PATIENCE).unwrap(),
        }
    }

    /// The only number that a query gives.
    pub(super) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Waits until a query gives `wanted`.
    pub(super) async fn until(&self, sql: &str, wanted: i64) {
        let mut last = None;
        let reached = async {
            loop {
                let found = self.number(sql).await;
                if found == wanted {
                    return;
                }
                last = Some(found);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{sql}: {last:?}, wanted {wanted}");
        }
    }

    /// Every row of every rollup table.
    pub(super) async fn stored(&self) -> Rollups {
        let mut all = Rollups::new();
        for window in Window::ALL {
            type Row = (
                Uuid,
                String,
                chrono::DateTime<chrono::Utc>,
                Uuid,
                i64,
                String,
                Vec<u8>,
                String,
                Option<String>,
            );
            let sql = format!(
                "select organization_id, scope, bucket_start, series_id, event_count, \
                 execution_time_sum::text, histogram, cost_usd::text, value_sum::text \
                 from flowmeter.rollups_{window}"
            );
            let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql))
                .fetch_all(&self.pool)
                .await
                .unwrap();
            for (org, scope, bucket, series, count, time, histogram, cost, value) in rows {
                let usd = |text: String| text.parse::<Usd>().unwrap();
                all.insert(
                    (
                        window,
                        org,
                        scope,
                        Timestamp::try_from(bucket).unwrap(),
                        series,
                    ),
                    Sums {
                        count: count.unsigned_abs(),
                        time: time.parse().unwrap(),
                        histogram,
                        cost: usd(cost),
                        value: value.map(usd),
                    },
                );
            }
        }
        all
    }
}

/// A record of admitted events.
struct Admitted {
    key: String,
    value: Vec<u8>,
    source: String,
}

pub(super) struct Running {
    pub(super) health: Health,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(self) {
        self.shutdown.trigger();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.unwrap().unwrap().unwrap();
    }

    /// Waits until its health is as `wanted` says.
    pub(super) async fn until_health(&self, wanted: impl Fn(&CheckReport) -> bool) {
        let reached = async {
            while !wanted(&self.health.report().await.checks["sink"]) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
    }
}

/// Forwards events as an aggregator does: in transactions.
pub(super) struct Aggregator<'a> {
    pipeline: &'a Pipeline,
    consumer: PartitionConsumer,
    producer: TransactionalProducer,
}

impl Aggregator<'_> {
    /// Forwards events in one transaction.
    pub(super) fn forward(&self, events: &[Event]) {
        self.send(events);
        self.commit();
    }

    /// Forwards them in a transaction that is given up.
    pub(super) fn give_up(&self, events: &[Event]) {
        self.send(events);
        // A record that waits still would be purged, and the broker takes it amiss when the
        // client ends a transaction that it is only beginning to tell of.
        self.producer.flush().unwrap();
        self.producer.abort().unwrap();
    }

    /// Says in one partition up to which minute since 1970 the only source is read.
    pub(super) fn watermark(&self, partition: i32, minute: i64) {
        let until = Timestamp::from_millis(minute * 60_000).unwrap();
        let watermarks = Watermarks {
            sources: 1,
            partitions: 2,
            until: [((EventKind::CommandExecution, 0), until)].into(),
        };
        let text = watermarks.to_header();
        let header = [(Watermarks::HEADER, Some(text.as_bytes()))];
        let topic = self.pipeline.topics.admitted();
        self.producer.begin().unwrap();
        self.producer
            .send_to(&topic, Some(partition), None, None, &header)
            .unwrap();
        self.commit();
    }

    fn commit(&self) {
        let group = self.consumer.group_metadata().unwrap();
        self.producer
            .commit(&TopicPartitionList::new(), &group)
            .unwrap();
    }

    fn send(&self, events: &[Event]) {
        self.producer.begin().unwrap();
        for event in events {
            let Admitted { key, value, source } = self.pipeline.admitted(event);
            let headers = [(Source::HEADER, Some(source.as_bytes()))];
            let topic = self.pipeline.topics.admitted();
            self.producer
                .send(&topic, Some(key.as_bytes()), Some(&value), &headers)
                .unwrap();
        }
    }
}

pub(super) type Rollups = BTreeMap<(Window, Uuid, String, Timestamp, Uuid), Sums>;

/// What is compared of a rollup.
#[derive(Debug, PartialEq)]
pub(super) struct Sums {
    count: u64,
    time: u64,
    histogram: Vec<u8>,
    cost: Usd,
    value: Option<Usd>,
}

/// The rollups of events, added up one by one.
pub(super) fn expected(events: &[Event]) -> Rollups {
    let mut all: BTreeMap<_, Rollup> = BTreeMap::new();
    for event in events {
        let (series, rollup) = (Series::of(event), Rollup::of(event));
        let common = event.common();
        for window in Window::ALL {
            for scope in Scope::ALL {
                let key = (
                    window,
                    common.organization_id,
                    scope.as_str().to_owned(),
                    window.start(common.timestamp),
                    series.within(scope).id(),
                );
                all.entry(key).or_default().merge(&rollup);
            }
        }
    }
    let sums = |rollup: Rollup| {
        let time = rollup.execution_time;
        Sums {
            count: rollup.count,
            time: time.as_ref().map_or(0, |t| t.sum),
            histogram: time.map(|t| t.histogram.to_bytes()).unwrap_or_default(),
            cost: rollup.cost,
            value: rollup.values.map(|v| Usd::from_units(v.sum)),
        }
    };
    all.into_iter().map(|(key, r)| (key, sums(r))).collect()
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
}

/// A command of one of `users` users and `names` names, in one of the last `minutes`.
pub(super) fn command(n: u64, users: u64, names: u64, minutes: u64) -> Event {
    let id = |space: u128, n: u64| Uuid::from_u128((space << 64) + u128::from(n) + 1);
    let user = n % users;
    let ago = i64::try_from(n * 7 % (minutes * 60)).unwrap();
    Event::CommandExecution(CommandExecution {
        event_id: id(1, n),
        organization_id: id(2, user % 3),
        timestamp: now().saturating_add_seconds(-ago),
        user_id: id(3, user),
        team_id: (!user.is_multiple_of(5)).then(|| id(4, user % 5)),
        project_id: None,
        command_name: format!("command-{}", n / users % names),
        execution_time_ms: i64::try_from(n * 37 % 5000).unwrap(),
        status: Status::ALL[usize::try_from(n % 4).unwrap()],
        command_args: None,
        error_message: None,
        context: None,
    })
}

pub(crate) fn commands(range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(|n| command(n, 30, 4, 180)).collect()
}
