//! Exports that are cut, abandoned, not read, or too many.

use std::time::Duration;

use axum::{body::Body, http::Request, response::Response};
use futures_util::StreamExt;
use platform::{database, test_support::eventually};
use sqlx::PgPool;
use tower::ServiceExt;

use super::{
    raw::{Caller, RANGE, ask, store},
    world::World,
};

/// So much that a reader which takes nothing holds the export up.
const MANY: i32 = 3000;

const WAIT: Duration = Duration::from_secs(20);

async fn filled() -> (World, PgPool) {
    let world = World::with(&[]).await;
    let owner = world.database.pool(database::Role::Owner).await;
    store(&owner, 1, MANY).await;
    (world, owner)
}

fn path(format: &str) -> String {
    format!("/api/metrics/export/{format}?kind=commands&{RANGE}")
}

async fn begin(world: &World, format: &str) -> Response {
    let token = Caller::admin().token(world);
    let request = Request::get(path(format)).header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::empty()).unwrap();
    world.app.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn beyond_the_most_exports_at_a_time_are_refused_until_one_ends() {
    let (world, _owner) = filled().await;
    let first = begin(&world, "ndjson").await;
    let second = begin(&world, "json").await;
    let third = begin(&world, "csv").await;
    assert_eq!(
        (first.status().as_u16(), second.status().as_u16()),
        (200, 200)
    );
    assert_eq!(third.status(), 503);
    assert_eq!(third.headers()["retry-after"], "10");
    let token = Caller::admin().token(&world);
    let (_, problem) = ask(&world, &token, &path("csv")).await;
    assert_eq!(problem["code"], "too_many_exports");
    // One client goes away without having read anything.
    drop(second);
    eventually(WAIT, "room for another export", || async {
        let next = begin(&world, "ndjson").await;
        (next.status() == 200).then_some(())
    })
    .await;
    drop(first);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_no_transaction() {
    let (world, owner) = filled().await;
    let export = begin(&world, "ndjson").await;
    assert_eq!(export.status(), 200);
    let open = "select count(*) from pg_stat_activity \
        where datname = current_database() and usename = 'flowmeter_api' and xact_start is not null";
    eventually(WAIT, "no transaction open", || async {
        let open: i64 = sqlx::query_scalar(open).fetch_one(&owner).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
    // It goes on when the client does, and is whole.
    let mut body = export.into_body().into_data_stream();
    let mut lines = 0;
    while let Some(piece) = body.next().await {
        lines += piece.unwrap().iter().filter(|byte| **byte == b'\n').count();
    }
    let rows = usize::try_from(MANY * 4 / 5).unwrap();
    assert_eq!(lines, rows);
}

#[tokio::test]
async fn an_export_that_breaks_off_does_not_end_like_a_whole_one() {
    let (world, owner) = filled().await;
    for format in ["ndjson", "json", "csv"] {
        let mut body = begin(&world, format).await.into_body().into_data_stream();
        assert!(body.next().await.unwrap().is_ok());
        // In the middle the database takes the right to read, and gives it back.
        let grant = |how: &'static str| sqlx::query(how).execute(&owner);
        grant("revoke select on tenant.command_executions from flowmeter_api")
            .await
            .unwrap();
        end_transactions(&owner).await;
        let mut ended = Ok(());
        while let Some(piece) = body.next().await {
            ended = piece.map(|_| ());
        }
        assert!(ended.is_err(), "{format}");
        grant("grant select on tenant.command_executions to flowmeter_api")
            .await
            .unwrap();
    }
}

/// Ends what the service has open, as a restart of the database would.
async fn end_transactions(owner: &PgPool) {
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
        where datname = current_database() and usename = 'flowmeter_api'";
    sqlx::query(end).execute(owner).await.unwrap();
}
