//! `kill -9` of the jobs in the middle of each of them, under load.

use std::time::Duration;

use platform::database::changes;
use schemas::Timestamp;
use sink::rebuild::{Rebuild, Step, compare};
use sink::test_support::lock_rollups;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use crate::faults::report::Report;
use crate::faults::services::Service::{Aggregator, Gateway, Jobs, Sink};
use crate::faults::system::{Plan, System};
use crate::pipeline::eventually;

/// Each job, and a table that it cannot go on without and that nothing but jobs uses: whoever
/// holds it holds the job in its middle. What measures sizes reads no table.
const MIDDLES: [(&str, Option<&str>); 6] = [
    ("retention", Some("retention_boundaries")),
    ("reconcile", Some("retention_boundaries")),
    ("reconcile-wide", Some("retention_boundaries")),
    ("health", Some("alerts")),
    ("report", Some("performance_reports")),
    ("storage", None),
];

pub(crate) async fn run(plan: Plan) -> Report {
    let mut system = System::new(plan).await;
    system.start_all(&[Gateway, Aggregator, Sink]);
    system.start_load();
    system.progress("everything runs").await;
    let pool = system.pipeline.pool.clone();
    // One that leads and one that stands by; down, until something holds the first job.
    let both = [system.start(Jobs), system.start(Jobs)];
    let mut expired = Vec::new();
    for round in 1..=plan.rounds {
        for at in both {
            system.put_down(at);
        }
        expired.push(expired_rows(&pool).await);
        corrupt(&pool).await;
        for (job, table) in MIDDLES {
            kill_in_the_middle(&mut system, &pool, both, job, table).await;
        }
        for at in both {
            system.instances[at].run(true);
        }
        let done = number(&pool, "select max(id) from flowmeter.job_runs").await;
        for (job, _) in MIDDLES {
            let succeeded = format!(
                "select count(*) from flowmeter.job_runs \
                 where job = '{job}' and outcome = 'succeeded' and id > {done}"
            );
            until(&pool, &format!("{job} is done after all"), &succeeded).await;
        }
        system.progress("jobs were killed").await;
        let died = "select count(*) from flowmeter.job_runs where outcome = 'abandoned'";
        let died = number(&pool, died).await;
        let known = died >= 5 * i64::from(round);
        assert!(known, "only {died} are known to have been killed");
        system.round(round, &format!("{died} jobs were killed so far"));
    }
    for organization in expired {
        let of = |table: &str| {
            format!(
                "select count(*) from flowmeter.{table} where organization_id = '{organization}'"
            )
        };
        let raw = number(&pool, &of("command_executions")).await;
        assert_eq!(raw, 0, "retention came to its end");
        let rollups = number(&pool, &of("rollups_1d")).await;
        assert!(rollups > 0, "rollups outlive the raw rows");
    }
    // By whichever run: a killed one that healed says so, too.
    let healed =
        "select count(*) from flowmeter.job_runs where (details->>'rollups_healed')::bigint > 0";
    assert!(
        number(&pool, healed).await >= i64::from(plan.rounds),
        "what was corrupted was healed"
    );
    system.settle().await
}

/// Commands that have expired long ago, and their rollups; gives whose they are.
async fn expired_rows(pool: &PgPool) -> Uuid {
    let organization = Uuid::new_v4();
    let sql = "insert into flowmeter.command_executions select gen_random_uuid(), $1, gen_random_uuid(), \
         null, null, now() - make_interval(days => 100 + i % 5), 'build', 5, 'success', null, null, null, \
         now(), 0, i from generate_series(1, 500) i";
    sqlx::query(sql)
        .bind(organization)
        .execute(pool)
        .await
        .unwrap();
    let now = platform::clock::now();
    let days = |days: i64| -> Timestamp { now.saturating_add_seconds(-days * 86_400) };
    let request = Rebuild {
        from: days(106),
        to: days(99),
        organization: Some(organization),
        dry_run: false,
        from_kafka: false,
    };
    compare(pool, &schemas::Window::ALL, &request, |_: Step| true)
        .await
        .unwrap();
    organization
}

/// Spoils one rollup of these hours, as whoever changes rollups does it: under the lock of its
/// organization, whose version is raised. Without, a sink in the middle of a batch would write
/// over it, and rightly.
async fn corrupt(pool: &PgPool) {
    let of_these_hours =
        "from flowmeter.rollups_1h where bucket_start > now() - interval '2 hours'";
    let any = format!("select organization_id {of_these_hours} limit 1");
    let organization: Uuid = sqlx::query_scalar(AssertSqlSafe(any))
        .fetch_one(pool)
        .await
        .unwrap();
    let mut transaction = pool.begin().await.unwrap();
    lock_rollups(&mut transaction, organization).await.unwrap();
    let spoil = format!(
        "update flowmeter.rollups_1h set event_count = event_count + 1 where (tableoid, ctid) = ( \
         select tableoid, ctid {of_these_hours} and organization_id = $1 limit 1)"
    );
    let spoilt = sqlx::query(AssertSqlSafe(spoil))
        .bind(organization)
        .execute(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(spoilt.rows_affected(), 1);
    changes::raise(&mut transaction, [organization])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

/// Both are down before and after.
async fn kill_in_the_middle(
    system: &mut System,
    pool: &PgPool,
    both: [usize; 2],
    job: &str,
    table: Option<&str>,
) {
    let mut holding = pool.begin().await.unwrap();
    if let Some(table) = table {
        hold(&mut holding, table).await;
    }
    for at in both {
        system.instances[at].run(true);
    }
    let waits = "exists (select from pg_stat_activity where datname = current_database() \
         and application_name = 'flowmeter-jobs' and wait_event_type = 'Lock')";
    let running = format!(
        "select count(*) from flowmeter.job_runs where job = '{job}' and started_at > '{}' {}",
        chrono::Utc::now().to_rfc3339(),
        table.map_or(String::new(), |_| format!(
            "and outcome is null and {waits}"
        ))
    );
    until(pool, &format!("{job} is in its middle"), &running).await;
    system.a_moment(Duration::from_millis(200)).await;
    for at in both {
        system.put_down(at);
    }
    holding.rollback().await.unwrap();
}

async fn hold(connection: &mut PgConnection, table: &str) {
    let sql = format!("lock table flowmeter.{table} in access exclusive mode");
    sqlx::query(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap();
}

async fn number(pool: &PgPool, sql: &str) -> i64 {
    let asked = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
    asked.fetch_one(pool).await.unwrap()
}

async fn until(pool: &PgPool, what: &str, sql: &str) {
    eventually(what, || async {
        (number(pool, sql).await > 0).then_some(())
    })
    .await;
}
