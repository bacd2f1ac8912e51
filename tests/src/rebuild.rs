//! `flowmeter rebuild`: changes what is wrong, and nothing else, while everything runs.

use chrono::{TimeDelta, Utc};
use flowmeter::load::{self, LoadArgs};
use flowmeter::rebuild::{RebuildArgs, Source, Summary, recompute};
use indicatif::ProgressBar;
use platform::auth::Role;
use platform::lifecycle::Shutdown;
use sink::SinkConfig;
use sink::rebuild::Difference;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

/// Everything about every rollup but when it was written.
const ROLLUPS: &str = "select string_agg(w || j, '' order by w, j) from ( \
     select 1 as w, (to_jsonb(r) - 'updated_at')::text as j from flowmeter.rollups_1m r \
     union all select 2, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_5m r \
     union all select 3, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_15m r \
     union all select 4, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_1h r \
     union all select 5, (to_jsonb(r) - 'updated_at')::text from flowmeter.rollups_1d r \
     union all select 6, to_jsonb(r)::text from flowmeter.rollups_1d_by_user r) t";

pub(crate) const NONE: Difference = Difference {
    compared: 0,
    missing: 0,
    wrong: 0,
    surplus: 0,
};

fn args(organization: Option<Uuid>, dry_run: bool) -> RebuildArgs {
    RebuildArgs {
        from: Utc::now() - TimeDelta::hours(4),
        to: None,
        organization,
        source: Source::Database,
        dry_run,
    }
}

pub(crate) async fn rebuild(pipeline: &Pipeline, args: &RebuildArgs) -> Summary {
    let mut env = pipeline.env();
    let config = SinkConfig::from_env(&mut env);
    let bar = ProgressBar::hidden();
    recompute(args, &config, &bar, &Shutdown::new())
        .await
        .unwrap()
}

/// Restores what Kafka still has of so many days, and compares them.
pub(crate) async fn from_kafka(pipeline: &Pipeline, days: i64) -> Summary {
    let args = RebuildArgs {
        from: Utc::now() - TimeDelta::days(days),
        source: Source::Kafka,
        ..args(None, false)
    };
    rebuild(pipeline, &args).await
}

async fn send(pipeline: &Pipeline, client: &Client, events: u64) {
    send_over(pipeline, client, events, 3).await;
}

/// Events of the last hours.
pub(crate) async fn send_over(pipeline: &Pipeline, client: &Client, events: u64, hours: u64) {
    let args = LoadArgs {
        url: pipeline.base().parse().unwrap(),
        token: Some(client.token.clone()),
        organization: None,
        events,
        seed: events,
        rate: 0,
        batch: 100,
        concurrency: 4,
        receipts: None,
        users: 20,
        teams: 3,
        hours,
        until: None,
    };
    let bar = ProgressBar::hidden();
    let sent = load::send(&args, &client.token, &bar, &Shutdown::new())
        .await
        .unwrap();
    assert_eq!(sent.accepted, events);
}

async fn dump(pipeline: &Pipeline) -> String {
    sqlx::query_scalar(ROLLUPS)
        .fetch_one(&pipeline.pool)
        .await
        .unwrap()
}

pub(crate) async fn until_stored(pipeline: &Pipeline, events: i64) {
    let counted = "select coalesce(sum(event_count), 0)::bigint from flowmeter.rollups_1d \
         where scope = 'organization'";
    eventually("every event is stored", || async {
        (pipeline.number(counted).await == events).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_damaged_is_as_it_was_and_the_rest_is_untouched() {
    let mut pipeline = Pipeline::start().await;
    let (ours, theirs) = (Uuid::new_v4(), Uuid::new_v4());
    for organization in [ours, theirs] {
        send(
            &pipeline,
            &Client::of(&pipeline, organization, Role::Admin),
            1000,
        )
        .await;
    }
    until_stored(&pipeline, 2000).await;
    let before = dump(&pipeline).await;
    let summary = rebuild(&pipeline, &args(None, false)).await;
    assert_eq!(summary.events, 2000);
    assert_eq!(
        Difference {
            compared: 0,
            ..summary.difference
        },
        NONE
    );
    assert!(summary.difference.compared > 2000, "{summary}");
    assert!(dump(&pipeline).await == before);

    let damages = [
        "delete from flowmeter.rollups_1h where (tableoid, ctid) in (select tableoid, ctid from flowmeter.rollups_1h where scope = 'team' limit 3)",
        "update flowmeter.rollups_1d set event_count = event_count + 1, histogram = '\\x00' where scope = 'organization' and kind = 'command'",
        "insert into flowmeter.rollups_5m select (jsonb_populate_record(r, \
            jsonb_build_object('series_id', gen_random_uuid()))).* from flowmeter.rollups_5m r limit 1",
        "update flowmeter.rollups_1m set series_id = gen_random_uuid() where (tableoid, ctid) in (select tableoid, ctid from flowmeter.rollups_1m limit 1)",
        "delete from flowmeter.rollups_1d_by_user where (tableoid, ctid) in (select tableoid, ctid from flowmeter.rollups_1d_by_user limit 1)",
        "update flowmeter.rollups_1d_by_user set command_count = command_count + 1, cost_usd = 0.5 \
            where (tableoid, ctid) in (select tableoid, ctid from flowmeter.rollups_1d_by_user order by user_id limit 1)",
    ];
    for damage in damages {
        sqlx::query(damage).execute(&pipeline.pool).await.unwrap();
    }
    let damaged = dump(&pipeline).await;
    assert!(damaged != before);
    let told = rebuild(&pipeline, &args(None, true)).await;
    assert!(dump(&pipeline).await == damaged, "a dry run writes nothing");
    assert_eq!(
        (told.difference.missing, told.difference.surplus),
        (5, 2),
        "{told}"
    );
    assert!(told.difference.wrong >= 3, "{told}");
    // One organization at a time, as asked.
    let first = rebuild(&pipeline, &args(Some(ours), false)).await;
    let second = rebuild(&pipeline, &args(Some(theirs), false)).await;
    let mut both = first.difference;
    both += second.difference;
    assert_eq!(both, told.difference);
    assert!(dump(&pipeline).await == before);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_differs_at_any_moment_while_events_come() {
    let mut pipeline = Pipeline::start().await;
    let client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let sending = send(&pipeline, &client, 20_000);
    let comparing = async {
        let mut rounds = 0;
        while pipeline
            .number("select coalesce(sum(event_count), 0)::bigint from flowmeter.rollups_1d where scope = 'organization'")
            .await
            < 20_000
        {
            let summary = rebuild(&pipeline, &args(None, false)).await;
            assert!(summary.difference.is_none(), "{summary}");
            rounds += 1;
        }
        rounds
    };
    let ((), rounds) = tokio::join!(sending, comparing);
    assert!(rounds > 0);
    let summary = rebuild(&pipeline, &args(None, false)).await;
    assert!(summary.difference.is_none(), "{summary}");
    assert_eq!(summary.events, 20_000);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_database_lost_come_back_from_kafka() {
    let mut pipeline = Pipeline::start().await;
    let client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    send(&pipeline, &client, 2000).await;
    until_stored(&pipeline, 2000).await;
    let before = dump(&pipeline).await;
    let lost = "with lost as (delete from flowmeter.command_executions where source_offset % 3 = 0 returning 1) \
         select count(*) from lost";
    let lost = pipeline.number(lost).await;
    assert!(lost > 100);
    // Of the other kinds, rows and rollups alike.
    for damage in [
        "delete from flowmeter.agent_interactions",
        "delete from flowmeter.rollups_1h where kind = 'agent'",
    ] {
        sqlx::query(damage).execute(&pipeline.pool).await.unwrap();
    }
    let from_kafka = RebuildArgs {
        source: Source::Kafka,
        ..args(None, false)
    };
    let healed = rebuild(&pipeline, &from_kafka).await;
    assert!(healed.restored > lost.unsigned_abs(), "{healed}");
    assert_eq!(healed.events, 2000, "{healed}");
    assert!(dump(&pipeline).await == before);
    let again = rebuild(&pipeline, &from_kafka).await;
    assert_eq!(again.restored, 0, "{again}");
    assert!(again.difference.is_none(), "{again}");
    pipeline.stop().await;
}
