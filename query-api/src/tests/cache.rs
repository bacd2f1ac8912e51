//! Answers are kept for as long as they are true, and no longer.

use std::{io::Read, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
    response::Response,
};
use flate2::read::GzDecoder;
use futures_util::future::join_all;
use platform::{
    auth::Role,
    database::{self, changes},
    lifecycle::Shutdown,
    test_support::{eventually, required_env},
};
use redis::AsyncCommands;
use schemas::{event::Status, rollup::SeriesKind::Command};
use serde_json::Value;
use sqlx::PgPool;
use tower::ServiceExt;
use uuid::Uuid;

use super::world::{Fact, Service, World, body, execution, fact, store};
use crate::cache::Cache;

const DAY: &str = "start_date=2026-03-01T00:00:00Z&end_date=2026-03-02T00:00:00Z";
const SOON: Duration = Duration::from_secs(20);

/// An instance of the service that listens to changes.
struct Instance {
    app: Router,
    cache: Arc<Cache>,
    shutdown: Shutdown,
}

impl Instance {
    async fn over(world: &World, settings: &[(&str, &str)]) -> Self {
        let shutdown = Shutdown::new();
        let Service { app, cache, .. } =
            Service::over(world.pool.clone(), settings, shutdown.clone());
        let changes = world.database.pool(database::Role::Api).await;
        cache.listen(changes, shutdown.clone());
        let instance = Self {
            app,
            cache,
            shutdown,
        };
        instance.listens(true).await;
        instance
    }

    async fn listens(&self, expected: bool) {
        let probe = || async { (self.cache.is_listening() == expected).then_some(()) };
        eventually(SOON, "changes are listened to, or not", probe).await;
    }

    async fn send(&self, token: &str, query: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::get(format!("{}?{query}", crate::aggregated::PATH))
            .header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// How many commands there are, and whether that was kept.
    async fn ask(&self, world: &World, organization: Uuid, query: &str) -> (u64, &'static str) {
        let token = world.token(organization, Role::Viewer);
        counted(self.send(&token, query, &[]).await).await
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn counted(response: Response) -> (u64, &'static str) {
    assert_eq!(response.status(), 200);
    let answer = body(response).await;
    assert!(answer["query_time_ms"].as_f64().unwrap() > 0.0);
    let rows = answer["data"].as_array().unwrap();
    let count = |row: &Value| row["commands"]["count"].as_u64().unwrap();
    let outcome = match answer["cache"].as_str().unwrap() {
        "hit" => "hit",
        "miss" => "miss",
        other => panic!("{other}"),
    };
    (rows.iter().map(count).sum(), outcome)
}

fn command(hour: u32) -> Fact {
    let at = format!("2026-03-01T{hour:02}:20:00Z");
    // Each of its own series: rows are only ever added here.
    let name = format!("build-{hour}");
    fact(&at, Command, &name, execution(Status::Success, 100))
}

/// A world with one command of an organization that nobody else has: Redis is shared.
async fn world() -> (World, PgPool, Uuid) {
    let organization = Uuid::new_v4();
    let world = World::with(&[(organization, command(1))]).await;
    let sink = world.database.pool(database::Role::Sink).await;
    (world, sink, organization)
}

#[tokio::test]
async fn an_answer_is_kept_until_newer_rows_are_committed() {
    let (world, sink, ours) = world().await;
    let instance = Instance::over(&world, &[]).await;
    assert_eq!(instance.ask(&world, ours, DAY).await, (1, "miss"));
    assert_eq!(instance.ask(&world, ours, DAY).await, (1, "hit"));
    // Of somebody else, or given up: nothing is newer.
    store(&sink, &[(Uuid::new_v4(), command(1))]).await;
    let mut transaction = sink.begin().await.unwrap();
    changes::raise(&mut transaction, [ours]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(instance.ask(&world, ours, DAY).await, (1, "hit"));

    for count in 2..6 {
        store(&sink, &[(ours, command(count))]).await;
        eventually(SOON, "the newer answer", || async {
            (instance.ask(&world, ours, DAY).await.0 == u64::from(count)).then_some(())
        })
        .await;
        let kept = (u64::from(count), "hit");
        assert_eq!(instance.ask(&world, ours, DAY).await, kept);
    }
    // Whether buckets are complete is part of an answer.
    let mut transaction = sink.begin().await.unwrap();
    changes::raise(&mut transaction, [changes::INSTALLATION])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    eventually(SOON, "an answer of its own", || async {
        (instance.ask(&world, ours, DAY).await == (5, "miss")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_wants_the_databases_word_gets_it_without_delay() {
    let (world, sink, ours) = world().await;
    let instance = Instance::over(&world, &[]).await;
    let token = world.token(ours, Role::Viewer);
    for count in 2..20 {
        instance.ask(&world, ours, DAY).await;
        store(&sink, &[(ours, command(count))]).await;
        let fresh = instance
            .send(&token, DAY, &[("cache-control", "no-cache")])
            .await;
        assert_eq!(counted(fresh).await.0, u64::from(count));
        // And nobody is answered with less from then on.
        assert_eq!(instance.ask(&world, ours, DAY).await.0, u64::from(count));
    }
}

#[tokio::test]
async fn who_asks_the_same_at_once_waits_for_one_query() {
    let (world, sink, ours) = world().await;
    let instance = Instance::over(&world, &[]).await;
    // The version is known, so that nothing but the query itself is waited for.
    instance.ask(&world, ours, "").await;
    let mut blocking = sink.begin().await.unwrap();
    sqlx::query("lock table flowmeter.rollups_15m in access exclusive mode")
        .execute(&mut *blocking)
        .await
        .unwrap();
    let asking = join_all((0..50).map(|_| instance.ask(&world, ours, DAY)));
    let unblocking = async {
        let waiting = "select count(*) from pg_locks where not granted \
            and database = (select oid from pg_database where datname = current_database())";
        eventually(SOON, "a query that waits", || async {
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&sink).await.unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        blocking.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(asking, unblocking);
    let computed = answers.iter().filter(|(_, outcome)| *outcome == "miss");
    assert_eq!(computed.count(), 1, "{answers:?}");
    assert!(answers.iter().all(|(count, _)| *count == 1));
}

#[tokio::test]
async fn what_is_kept_ends_with_its_time_and_its_room() {
    let (world, _, ours) = world().await;
    let short = Instance::over(&world, &[("CACHE_TTL_SECONDS", "1")]).await;
    assert_eq!(short.ask(&world, ours, DAY).await, (1, "miss"));
    assert_eq!(short.ask(&world, ours, DAY).await, (1, "hit"));
    eventually(SOON, "an answer that is computed again", || async {
        (short.ask(&world, ours, DAY).await == (1, "miss")).then_some(())
    })
    .await;

    let narrow = Instance::over(&world, &[("CACHE_MAX_BYTES", "20000")]).await;
    for limit in 1..=100 {
        let query = format!("{DAY}&limit={limit}");
        assert_eq!(narrow.ask(&world, ours, &query).await, (1, "miss"));
    }
    let bytes = narrow.cache.bytes().await;
    assert!((5_000..=20_000).contains(&bytes), "{bytes}");
    // The last are kept.
    let query = format!("{DAY}&limit=100");
    assert_eq!(narrow.ask(&world, ours, &query).await, (1, "hit"));
}

#[tokio::test]
async fn a_client_that_has_the_answer_hears_so_without_the_database() {
    let (world, sink, ours) = world().await;
    let instances = [
        Instance::over(&world, &[]).await,
        Instance::over(&world, &[]).await,
    ];
    let token = world.token(ours, Role::Viewer);
    let first = instances[0].send(&token, DAY, &[]).await;
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(first.headers()["cache-control"], "private, no-cache");
    assert_eq!(first.headers()["vary"], "Authorization, Accept-Encoding");
    for instance in &instances {
        let again = instance.send(&token, DAY, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers()["etag"].to_str().unwrap(), tag);
        assert_eq!(again.headers()["cache-control"], "private, no-cache");
    }
    // Another organization's, with the same parameters, has another.
    let theirs = Uuid::new_v4();
    store(&sink, &[(theirs, command(1))]).await;
    let other = world.token(theirs, Role::Viewer);
    let answer = instances[0]
        .send(&other, DAY, &[("if-none-match", &tag)])
        .await;
    assert_eq!(answer.status(), 200);

    store(&sink, &[(ours, command(2))]).await;
    let newer = eventually(SOON, "another tag", || async {
        let answer = instances[0]
            .send(&token, DAY, &[("if-none-match", &tag)])
            .await;
        Some(answer).filter(|answer| answer.status() == 200)
    })
    .await;
    let newer = newer.headers()["etag"].to_str().unwrap().to_owned();
    assert_ne!(newer, tag);

    world.pool.close().await;
    let answer = instances[0]
        .send(&token, DAY, &[("if-none-match", &newer)])
        .await;
    assert_eq!(answer.status(), 304);
    assert_eq!(instances[0].ask(&world, ours, DAY).await, (2, "hit"));
    let unknown = instances[0]
        .send(&token, &format!("{DAY}&limit=7"), &[])
        .await;
    assert_eq!(unknown.status(), 503);
}

#[tokio::test]
async fn while_nobody_listens_nothing_kept_is_used() {
    let (world, sink, ours) = world().await;
    let instance = Instance::over(&world, &[]).await;
    instance.ask(&world, ours, DAY).await;
    assert_eq!(instance.ask(&world, ours, DAY).await, (1, "hit"));
    // Connections to go on with, since new ones will be refused.
    drop(join_all((0..3).map(|_| world.pool.acquire())).await);
    let owner = world.database.pool(database::Role::Owner).await;
    let name = world.database.url().database().to_owned();
    let run = async |statement: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&owner)
            .await
            .unwrap();
    };
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity \
        where datname = current_database() and (query like 'LISTEN%' or query = 'select 1')";
    run(format!(
        "revoke connect on database {name} from flowmeter_api; {kill}"
    ))
    .await;
    instance.listens(false).await;
    store(&sink, &[(ours, command(2))]).await;
    for _ in 0..3 {
        assert_eq!(instance.ask(&world, ours, DAY).await, (2, "miss"));
    }
    // Whoever has the newest answer still need not be sent it.
    let token = world.token(ours, Role::Viewer);
    let answer = instance.send(&token, DAY, &[]).await;
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let again = instance.send(&token, DAY, &[("if-none-match", &tag)]).await;
    assert_eq!(again.status(), 304);

    run(format!("grant connect on database {name} to flowmeter_api")).await;
    instance.listens(true).await;
    assert_eq!(instance.ask(&world, ours, DAY).await, (2, "miss"));
    assert_eq!(instance.ask(&world, ours, DAY).await, (2, "hit"));
}

/// What is told while the connection is made again is missed, and must not be needed.
#[tokio::test]
async fn what_is_missed_between_two_connections_is_no_loss() {
    let (world, sink, ours) = world().await;
    let instance = Instance::over(&world, &[]).await;
    let owner = world.database.pool(database::Role::Owner).await;
    for count in 2..8 {
        instance.ask(&world, ours, DAY).await;
        let kill = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity \
            where datname = current_database() and (query like 'LISTEN%' or query = 'select 1')";
        let killed: i64 = sqlx::query_scalar(kill).fetch_one(&owner).await.unwrap();
        assert!(killed > 0);
        store(&sink, &[(ours, command(count))]).await;
        eventually(SOON, "the newer answer", || async {
            (instance.ask(&world, ours, DAY).await.0 == u64::from(count)).then_some(())
        })
        .await;
        instance.listens(true).await;
    }
}

#[tokio::test]
async fn instances_share_answers_through_redis() {
    let (world, sink, ours) = world().await;
    let redis = required_env("REDIS_URL");
    let settings = [
        ("REDIS_URL", redis.as_str()),
        ("CACHE_REDIS_TIMEOUT_MS", "1000"),
    ];
    let instances = [
        Instance::over(&world, &settings).await,
        Instance::over(&world, &settings).await,
    ];
    for instance in &instances {
        let probe = || async { instance.cache.is_shared().then_some(()) };
        eventually(SOON, "Redis is reached", probe).await;
    }
    let client = redis::Client::open(redis.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for count in 1..4_u32 {
        if count > 1 {
            store(&sink, &[(ours, command(count))]).await;
        }
        for instance in &instances {
            eventually(SOON, "the newest answer", || async {
                (instance.ask(&world, ours, DAY).await.0 == u64::from(count)).then_some(())
            })
            .await;
        }
    }
    // One entry for all versions; with the next version another one is in its place.
    let name = eventually(SOON, "an entry", || async {
        let mut connection = connection.clone();
        let pattern = format!("flowmeter:cache:{{{ours}}}:*");
        let names: Vec<String> = connection.keys(pattern).await.unwrap();
        assert!(names.len() <= 1, "{names:?}");
        names.into_iter().next()
    })
    .await;
    let third = Instance::over(&world, &settings).await;
    let probe = || async { third.cache.is_shared().then_some(()) };
    eventually(SOON, "Redis is reached", probe).await;
    assert_eq!(third.ask(&world, ours, DAY).await, (3, "hit"));
    let lifetime: i64 = connection.ttl(&name).await.unwrap();
    assert!((1..=300).contains(&lifetime), "{lifetime}");

    // What is not the answer to the question is none, whoever put it there.
    let theirs = Uuid::new_v4();
    store(&sink, &[(theirs, command(1))]).await;
    let value: Vec<u8> = connection.get(&name).await.unwrap();
    let their_name = name.replace(&ours.to_string(), &theirs.to_string());
    let _: () = connection.set(&their_name, &value).await.unwrap();
    assert_eq!(third.ask(&world, theirs, DAY).await, (1, "miss"));
    let _: () = connection.del(&[name, their_name]).await.unwrap();
}

/// The tag of an answer, how it is encoded, and its body.
async fn encoded(response: Response) -> (String, Option<String>, Vec<u8>) {
    assert_eq!(response.status(), 200);
    let header = |name| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        header("vary").as_deref(),
        Some("Authorization, Accept-Encoding")
    );
    let (tag, encoding, length) = (
        header("etag").unwrap(),
        header("content-encoding"),
        header("content-length").unwrap(),
    );
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(length, body.len().to_string());
    (tag, encoding, body.into())
}

#[tokio::test]
async fn who_accepts_gzip_gets_the_same_answer_smaller() {
    let (world, sink, ours) = world().await;
    let instance = Instance::over(&world, &[]).await;
    for hour in 2..20 {
        store(&sink, &[(ours, command(hour))]).await;
    }
    let token = world.token(ours, Role::Viewer);
    let query = format!("{DAY}&aggregation_window=1h");
    let gzip = [("accept-encoding", "br, gzip")];
    let ask = async |headers: &[(&str, &str)]| {
        encoded(instance.send(&token, &query, headers).await).await
    };
    let mut known = None;
    for (headers, outcome) in [
        (&gzip[..], "miss"),
        (&[], "hit"),
        (&gzip, "hit"),
        (&[], "hit"),
    ] {
        let (tag, encoding, mut body) = ask(headers).await;
        assert_eq!(encoding.is_some(), !headers.is_empty());
        if encoding.is_some() {
            let packed = std::mem::take(&mut body);
            GzDecoder::new(&packed[..]).read_to_end(&mut body).unwrap();
            assert!(packed.len() * 3 < body.len());
        }
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["cache"].take(), outcome);
        assert!(answer["query_time_ms"].take().as_f64().unwrap() > 0.0);
        assert_eq!(answer["data"].as_array().unwrap().len(), 19);
        let same = (tag, answer);
        assert_eq!(known.get_or_insert_with(|| same.clone()), &same);
    }
    // The tag is that of either form.
    let (tag, _) = known.unwrap();
    for encoding in ["gzip", "identity"] {
        let headers = [("accept-encoding", encoding), ("if-none-match", &tag)];
        assert_eq!(instance.send(&token, &query, &headers).await.status(), 304);
    }
    // Newer rows end both.
    store(&sink, &[(ours, command(20))]).await;
    eventually(SOON, "the newer answer", || async {
        let (newer, ..) = ask(&gzip).await;
        (newer != tag).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_redis_each_instance_keeps_answers_for_itself() {
    let (world, _, ours) = world().await;
    let settings = [("REDIS_URL", "redis://127.0.0.1:1")];
    let instance = Instance::over(&world, &settings).await;
    assert_eq!(instance.ask(&world, ours, DAY).await, (1, "miss"));
    assert_eq!(instance.ask(&world, ours, DAY).await, (1, "hit"));
}

/// Organizations that ask the same, in any order, while their rows change: each gets its own.
#[tokio::test]
async fn whatever_is_asked_in_whatever_order_an_organization_gets_its_own() {
    let (world, sink, first) = world().await;
    let redis = required_env("REDIS_URL");
    let settings = [("REDIS_URL", redis.as_str())];
    let instances = [
        Instance::over(&world, &settings).await,
        Instance::over(&world, &[]).await,
    ];
    let organizations = [first, Uuid::new_v4(), Uuid::new_v4()];
    let mut counts = [1_u64, 0, 0];
    let mut random: u64 = 7;
    let queries = [
        "",
        "&aggregation_window=1d",
        "&group_by=command",
        "&limit=2000",
    ];
    for _ in 0..300 {
        let mut below = |n: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % n
        };
        let (who, query) = (below(3), queries[below(4)]);
        if below(8) == 0 && counts[who] < 23 {
            // The first one has that of hour 1 already.
            let hour = u32::try_from(counts[who]).unwrap() + u32::from(who == 0);
            store(&sink, &[(organizations[who], command(hour))]).await;
            counts[who] += 1;
        }
        let instance = &instances[below(2)];
        let token = world.token(organizations[who], Role::Viewer);
        let fresh: &[(&str, &str)] = match below(2) {
            0 => &[("cache-control", "no-cache")],
            _ => &[],
        };
        let query = format!("{DAY}{query}");
        let (count, _) = counted(instance.send(&token, &query, fresh).await).await;
        if !fresh.is_empty() {
            assert_eq!(count, counts[who]);
        }
        // Without, maybe what was true a moment ago; in a moment what is true now.
        eventually(SOON, "the organization's own", || async {
            let (count, _) = counted(instance.send(&token, &query, &[]).await).await;
            (count == counts[who]).then_some(())
        })
        .await;
    }
}
