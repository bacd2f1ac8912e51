//! Searches find what PostgreSQL's own search finds, of what the caller may read.

use std::time::Duration;

use platform::{auth::Role, database};
use schemas::event::EventKind;

use super::{
    raw::{Caller, RANGE, ask, escaped, expected, offsets, pages, store},
    world::World,
};
use crate::events::pages_in;

#[tokio::test]
async fn it_finds_what_the_database_finds_and_the_caller_may_read() {
    let world = World::with(&[]).await;
    let owner = world.database.pool(database::Role::Owner).await;
    store(&owner, 1, 300).await;
    let commands = "to_tsvector('simple', concat_ws(' ', command_name, error_message)) \
        || coalesce(jsonb_to_tsvector('simple', command_args, '\"all\"'), '')";
    let agents =
        "to_tsvector('simple', concat_ws(' ', agent_name, interaction_type, error_message))";
    let manager = Caller {
        role: Role::Manager,
        teams: Some(vec![11]),
        ..Caller::admin()
    };
    let viewer = Caller {
        role: Role::Viewer,
        user: 4,
        ..Caller::admin()
    };
    let mut found = 0;
    for (list, table, vector) in [
        ("commands", "command_executions", commands),
        ("agents", "agent_interactions", agents),
    ] {
        for words in [
            "deploy",
            "DEPLOY failed",
            "\"connection refused\"",
            "\"refused connection\"",
            "deploy or build",
            "deploy -failed",
            "-deploy",
            "größe",
            "日本",
            "cmd C calc",
            "drop table flowmeter.command_executions",
            "deep 17",
            "1.50",
            "a 1",
            "100%_",
            "nowhere",
        ] {
            let quoted = words.replace('\'', "''");
            let condition = format!("({vector}) @@ websearch_to_tsquery('simple', '{quoted}')");
            for caller in [Caller::admin(), manager.clone(), viewer.clone()] {
                let token = caller.token(&world);
                let path = format!("/api/metrics/{list}?{RANGE}&q={}", escaped(words));
                let rows = offsets(&pages(&world, &token, &path, 17).await);
                let all = expected(&owner, table, &caller, &condition, "desc").await;
                assert_eq!(rows, all, "{list} {words} {caller:?}");
                found += usize::from(!rows.is_empty());
            }
        }
    }
    assert!(found > 40, "{found}");
}

#[tokio::test]
async fn a_search_without_a_word_is_a_fault() {
    let world = World::with(&[]).await;
    let token = Caller::admin().token(&world);
    for path in [
        "/api/metrics/commands?q=",
        "/api/metrics/export/csv?kind=agents&q=",
    ] {
        for nothing in ["%3F%21", "%22%22", "%20"] {
            let (status, problem) = ask(&world, &token, &format!("{path}{nothing}")).await;
            assert_eq!(status, 400, "{problem}");
            assert_eq!(problem["errors"][0]["pointer"], "/q");
        }
    }
}

/// A page whose time is used up is short and says where to go on; together they are the whole.
#[tokio::test]
async fn pages_out_of_time_go_on_where_they_stopped() {
    let world = World::with(&[]).await;
    let owner = world.database.pool(database::Role::Owner).await;
    store(&owner, 1, 300).await;
    let caller = Caller::admin();
    let tenants = platform::database::TenantDb::new(world.pool.clone());
    let pairs = [
        ("start_date", "2026-02-01T00:00:00Z"),
        ("end_date", "2026-04-01T00:00:00Z"),
        ("q", "refused"),
        ("limit", "40"),
    ];
    let all = expected(
        &owner,
        "command_executions",
        &caller,
        "concat(command_name, command_args::text, error_message) like '%refused%'",
        "desc",
    )
    .await;
    let identity = platform::auth::Identity {
        user_id: uuid::Uuid::from_u128(1),
        organization_id: caller.organization,
        role: caller.role,
        team_ids: None,
    };
    let kind = EventKind::CommandExecution;
    let pages = pages_in(Duration::ZERO, kind, &pairs, &tenants, &identity).await;
    let empty = pages.iter().filter(|page| page.is_empty()).count();
    assert!(empty > 3 && pages.len() > empty + 1, "{pages:?}");
    assert_eq!(pages.concat(), all);
}
