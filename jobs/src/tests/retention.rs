//! What expires, whose, and when.

use std::sync::Arc;

use super::support::World;
use crate::job::Outcome;
use crate::retention::Retention;

const OURS: &str = "00000000-0000-0000-0000-000000000001";
const THEIRS: &str = "00000000-0000-0000-0000-000000000002";

async fn commands(world: &World, organization: &str, days: i32) {
    world
        .execute(&format!(
            "insert into flowmeter.command_executions select gen_random_uuid(), '{organization}', \
             gen_random_uuid(), null, null, date_trunc('day', now(), 'UTC') - make_interval(days => {days}, hours => i), \
             'build', 5, 'success', null, null, null, now(), 0, i from generate_series(1, 10) i"
        ))
        .await;
}

/// How many commands an organization has that are older than so many days.
async fn older(world: &World, organization: &str, days: i32) -> i64 {
    world
        .number(&format!(
            "select count(*) from flowmeter.command_executions where organization_id = '{organization}' \
             and \"timestamp\" < now() - make_interval(days => {days})"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_organization_keeps_its_own_time_and_boundaries_say_which() {
    let world = World::new().await;
    for organization in [OURS, THEIRS] {
        for days in [100, 40, 1] {
            commands(&world, organization, days).await;
        }
    }
    world
        .execute(&format!(
            "insert into flowmeter.retention values ('{OURS}', 'command_executions', 30); \
             insert into flowmeter.rollups_1d (organization_id, scope, bucket_start, series_id, kind, name) \
                select '{THEIRS}', 'organization', date_trunc('day', now() - make_interval(days => d), 'UTC'), \
                    gen_random_uuid(), 'command', 'build' from unnest('{{100, 4000}}'::int[]) d; \
             insert into flowmeter.dead_letters (recorded_at, source_topic, source_partition, source_offset, \
                stage, reason, message, dead_letter_partition, dead_letter_offset) \
                values (now() - interval '60 days', 't', 0, 0, 's', 'r', 'm', 0, 0)"
        ))
        .await;
    let config = world.config(&[]);
    let retention = || Arc::new(Retention::new(config.retention.clone()));
    let outcome = world.by_hand(&config, retention()).await.unwrap();
    assert_eq!(outcome, Outcome::Succeeded);

    assert_eq!(older(&world, OURS, 32).await, 0);
    assert_eq!(older(&world, OURS, 0).await, 10);
    assert_eq!(older(&world, THEIRS, 92).await, 0);
    assert_eq!(older(&world, THEIRS, 32).await, 10);
    let boundaries = "select count(*) from flowmeter.retention_boundaries where \
         (organization_id, table_name) in (('00000000-0000-0000-0000-000000000001', 'command_executions'), \
            ('00000000-0000-0000-0000-000000000002', 'command_executions')) \
         and not exists (select from flowmeter.command_executions c \
            where c.organization_id = retention_boundaries.organization_id and c.\"timestamp\" < since)";
    assert_eq!(world.number(boundaries).await, 2);
    // Days that all have given up go at once, the others row by row.
    let done = "select (details->'command_executions'->>'rows')::bigint from flowmeter.job_runs";
    assert_eq!(world.number(done).await, 10);
    let done = "select (details->'command_executions'->>'chunks')::bigint from flowmeter.job_runs";
    assert!(world.number(done).await >= 1);
    // Rollups of that time stay; those of ten years ago, and letters that were nobody's, go.
    assert_eq!(
        world
            .number("select count(*) from flowmeter.rollups_1d")
            .await,
        1
    );
    assert_eq!(
        world
            .number("select count(*) from flowmeter.dead_letters")
            .await,
        0
    );

    // A second time there is nothing to do, but for what comes late.
    commands(&world, THEIRS, 100).await;
    world.by_hand(&config, retention()).await.unwrap();
    assert_eq!(older(&world, THEIRS, 92).await, 0);
    assert_eq!(older(&world, THEIRS, 0).await, 20);
}
