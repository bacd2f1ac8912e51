//! `flowmeter erase`: the user is nowhere, the sums stay, and stay provable.

use chrono::{TimeDelta, Utc};
use flowmeter::erase::{EraseArgs, EraseConfig, ModeArg, Summary, forget};
use flowmeter::rebuild::{RebuildArgs, Source};
use indicatif::ProgressBar;
use platform::auth::Role;
use platform::lifecycle::Shutdown;
use sink::rebuild::Difference;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::Pipeline;
use crate::rebuild::{NONE, rebuild, send_over, until_stored};

const EVENTS: u64 = 3000;

/// The rollups that are to stay.
const COARSE: &str = "select string_agg(w || j, '' order by w, j) from ( \
     select 1 as w, (to_jsonb(r) - 'updated_at')::text as j from flowmeter.rollups_1m r where scope <> 'user' \
     union all select 2, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_5m r where scope <> 'user' \
     union all select 3, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_15m r where scope <> 'user' \
     union all select 4, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_1h r where scope <> 'user' \
     union all select 5, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_1d r where scope <> 'user') t";

const RAW: &str = "select (select count(*) from flowmeter.command_executions) \
     + (select count(*) from flowmeter.agent_interactions) \
     + (select count(*) from flowmeter.productivity_metrics) \
     + (select count(*) from flowmeter.user_sessions)";

/// A pipeline with an organization's events of two days and more, and the user with the most.
struct World {
    pipeline: Pipeline,
    organization: Uuid,
    client: Client,
    user: Uuid,
}

impl World {
    async fn new() -> Self {
        let pipeline = Pipeline::start().await;
        let organization = Uuid::new_v4();
        let client = Client::of(&pipeline, organization, Role::Admin);
        send_over(&pipeline, &client, EVENTS, 40).await;
        until_stored(&pipeline, EVENTS.cast_signed()).await;
        let user: Uuid = sqlx::query_scalar(
            "select user_id from flowmeter.user_sessions s where exists \
                (select from flowmeter.productivity_metrics p where p.user_id = s.user_id) \
             group by 1 order by count(*) desc, 1 limit 1",
        )
        .fetch_one(&pipeline.pool)
        .await
        .unwrap();
        for told in [
            "update flowmeter.command_executions set command_args = jsonb_build_object('by', $1::text), \
                error_message = $1::text, context = jsonb_build_object('by', $1::text) where user_id = $1",
            "update flowmeter.agent_interactions set error_message = $1::text, \
                metadata = jsonb_build_object('by', $1::text) where user_id = $1",
            "update flowmeter.productivity_metrics set dimensions = jsonb_build_object('by', $1::text) \
                where user_id = $1",
            "update flowmeter.user_sessions set context = jsonb_build_object('by', $1::text) where user_id = $1",
        ] {
            let done = sqlx::query(told).bind(user).execute(&pipeline.pool).await;
            assert!(done.unwrap().rows_affected() > 0, "{told}");
        }
        // What the aggregator refuses of the user's, with the organization known and unknown.
        for (known, key) in [
            (true, format!("{organization}:{user}")),
            (false, String::new()),
        ] {
            sqlx::query(
                "insert into flowmeter.dead_letters (recorded_at, organization_id, source_topic, \
                 source_partition, source_offset, stage, reason, message, \"key\", \"value\", \
                 dead_letter_partition, dead_letter_offset) values (now(), $1, 't', 0, 0, 's', 'r', \
                 'm', convert_to($2, 'UTF8'), convert_to($3, 'UTF8'), 0, 0)",
            )
            .bind(known.then_some(organization))
            .bind(key)
            .bind(format!("…{organization}…{user}…"))
            .execute(&pipeline.pool)
            .await
            .unwrap();
        }
        Self {
            pipeline,
            organization,
            client,
            user,
        }
    }

    async fn erase(&self, mode: ModeArg, yes: bool, shutdown: &Shutdown) -> Summary {
        let config = EraseConfig::from_env(&mut self.pipeline.env());
        let args = EraseArgs {
            organization: self.organization,
            user: self.user,
            mode,
            by: "ticket 7".to_owned(),
            yes,
        };
        forget(&args, &config, &ProgressBar::hidden(), shutdown)
            .await
            .unwrap()
    }

    async fn coarse(&self) -> String {
        sqlx::query_scalar(COARSE)
            .fetch_one(&self.pipeline.pool)
            .await
            .unwrap()
    }

    /// In how many rows of all tables the user is, as text or as bytes.
    async fn rows_with_user(&self) -> i64 {
        let tables: Vec<String> = sqlx::query_scalar(
            "select format('flowmeter.%I', table_name) from information_schema.tables \
             where table_schema = 'flowmeter' and table_type = 'BASE TABLE'",
        )
        .fetch_all(&self.pipeline.pool)
        .await
        .unwrap();
        assert!(tables.len() > 12, "{tables:?}");
        let mut rows = 0;
        for table in tables {
            let sql = format!(
                "select count(*) from {table} t where strpos(t::text, $1) > 0 \
                 or strpos(t::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0"
            );
            let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(self.user.to_string())
                .fetch_one(&self.pipeline.pool)
                .await
                .unwrap();
            rows += found;
        }
        rows
    }

    /// Compares everything, and writes what differs.
    async fn rebuild(&self, source: Source) -> flowmeter::rebuild::Summary {
        let args = RebuildArgs {
            from: Utc::now() - TimeDelta::days(3),
            to: None,
            organization: None,
            source,
            dry_run: false,
        };
        rebuild(&self.pipeline, &args).await
    }

    async fn nothing_differs(&self, source: Source) {
        let summary = self.rebuild(source).await;
        let difference = Difference {
            compared: 0,
            ..summary.difference
        };
        assert_eq!((summary.restored, difference), (0, NONE), "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_has_what_the_user_had() {
    let mut world = World::new().await;
    let (coarse, raw) = (world.coarse().await, world.pipeline.number(RAW).await);
    let before = world.rows_with_user().await;
    let shutdown = Shutdown::new();

    let found = world.erase(ModeArg::Anonymize, false, &shutdown).await;
    assert!(!found.erased && found.rows.raw > 0 && found.rows.rollups > found.rows.raw / 10);
    assert_eq!(found.rows.dead_letters, 2);
    assert_eq!(
        world.rows_with_user().await,
        before,
        "looking changes nothing"
    );

    let erased = world.erase(ModeArg::Anonymize, true, &shutdown).await;
    assert!(erased.erased && erased.is_whole);
    assert_eq!(erased.rows, found.rows);
    assert_eq!(world.rows_with_user().await, 0);
    assert!(world.coarse().await == coarse);
    assert_eq!(world.pipeline.number(RAW).await, raw);
    world.nothing_differs(Source::Database).await;
    // The log still has the records, and they do not come back.
    world.nothing_differs(Source::Kafka).await;
    assert_eq!(world.pipeline.number(RAW).await, raw);

    let noted: (i64, i64, i64, bool, String) = sqlx::query_as(
        "select raw_rows, rollups, dead_letters, finished_at is not null, requested_by \
         from flowmeter.erasures where user_hash = sha256(convert_to($1, 'UTF8'))",
    )
    .bind(format!("{}:{}", world.organization, world.user))
    .fetch_one(&world.pipeline.pool)
    .await
    .unwrap();
    let rows = erased.rows;
    let numbers = [rows.raw, rows.rollups, rows.dead_letters].map(u64::cast_signed);
    assert_eq!(
        noted,
        (
            numbers[0],
            numbers[1],
            numbers[2],
            true,
            "ticket 7".to_owned()
        )
    );
    world.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_events_stay_in_the_sums_and_a_rebuild_knows() {
    let mut world = World::new().await;
    let (coarse, raw) = (world.coarse().await, world.pipeline.number(RAW).await);
    // Ended after its first day, the state is as sound as any other.
    let ended = Shutdown::new();
    ended.trigger();
    let part = world.erase(ModeArg::Remove, true, &ended).await;
    assert!(part.erased && !part.is_whole && part.rows.raw > 0);
    assert!(world.rows_with_user().await > 0);
    assert!(world.coarse().await == coarse);
    world.nothing_differs(Source::Database).await;

    let rest = world.erase(ModeArg::Remove, true, &Shutdown::new()).await;
    assert!(rest.is_whole && rest.rows.raw > 0);
    assert_eq!(world.rows_with_user().await, 0);
    let removed = (part.rows.raw + rest.rows.raw).cast_signed();
    assert_eq!(world.pipeline.number(RAW).await, raw - removed);
    assert!(world.coarse().await == coarse);
    world.nothing_differs(Source::Database).await;
    world.nothing_differs(Source::Kafka).await;

    // What the residual is for: sums that were damaged are as they were.
    let damage = "update flowmeter.rollups_1h set event_count = event_count + 1, \
         execution_time_sum = 0 where scope <> 'user'";
    sqlx::query(damage)
        .execute(&world.pipeline.pool)
        .await
        .unwrap();
    assert!(world.rebuild(Source::Database).await.difference.wrong > 0);
    assert!(world.coarse().await == coarse);
    world.pipeline.stop().await;
}

/// The organization takes events while a user of it is erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_runs_meanwhile() {
    let mut world = World::new().await;
    for mode in [ModeArg::Anonymize, ModeArg::Remove] {
        let more = Client::of(&world.pipeline, world.organization, Role::Admin);
        let seed = if mode == ModeArg::Remove { 2001 } else { 2000 };
        let ((), erased) = tokio::join!(send_over(&world.pipeline, &more, seed, 40), async {
            world.erase(mode, true, &Shutdown::new()).await
        });
        assert!(erased.is_whole);
        world.nothing_differs(Source::Database).await;
    }
    until_stored(&world.pipeline, (EVENTS + 4001).cast_signed()).await;
    world.nothing_differs(Source::Database).await;
    drop(world.client);
    world.pipeline.stop().await;
}
