//! A walk over everything that the API's role can see, as somebody else.
//!
//! What there is comes from the catalogs: a table, view or function that is new is walked over
//! without a word here.

mod functions;
mod plant;
mod relations;
mod role;

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use self::plant::Planted;
use super::{Role, TenantDb};
use crate::test_support::TestDatabase;

/// What lets an organization see another's rows, in words.
type Finding = String;

/// Why there are no rows.
struct Failed {
    /// With detail, hint and context.
    text: String,
    /// Not by an answer of the server's, which may have come down.
    is_lost: bool,
}

/// The rows of a statement with one column, as text, in a transaction with a setting of the
/// organization.
async fn in_setting(
    api: &PgPool,
    setting: Option<&str>,
    statement: &str,
) -> Result<Vec<String>, Failed> {
    let run = async {
        let mut transaction = api.begin_with("begin read only").await?;
        if let Some(setting) = setting {
            sqlx::query("select set_config('app.current_org_id', $1, true)")
                .bind(setting)
                .execute(&mut *transaction)
                .await?;
        }
        let rows: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(statement.to_owned()))
            .persistent(false)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.rollback().await?;
        Ok::<_, sqlx::Error>(rows.into_iter().flatten().collect())
    };
    run.await.map_err(|error| Failed {
        text: format!("{error:?}"),
        is_lost: !matches!(error, sqlx::Error::Database(_)),
    })
}

struct World {
    owner: PgPool,
    api: PgPool,
    planted: Planted,
    /// Dropped last: the pools are closed by then.
    _database: TestDatabase,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let owner = database.pool(Role::Owner).await;
        let api = database.pool(Role::Api).await;
        let planted = Planted::everywhere(&owner).await;
        let world = Self {
            owner,
            api,
            planted,
            _database: database,
        };
        world.use_as_its_own().await;
        world
    }

    /// The organization itself queries, over connections that others get afterwards.
    async fn use_as_its_own(&self) {
        let tenants = TenantDb::new(self.api.clone());
        let mut transaction = tenants.begin(self.planted.organization).await.unwrap();
        let rows: Vec<Uuid> =
            sqlx::query_scalar("select event_id from tenant.command_executions where user_id = $1")
                .bind(self.planted.id)
                .fetch_all(transaction.connection())
                .await
                .unwrap();
        assert_eq!(rows, [self.planted.id; 3]);
    }

    async fn relations(&self, settings: &[Option<&str>]) -> (usize, Vec<Finding>) {
        let role = Role::Api.name().unwrap();
        relations::walk(&self.owner, &self.api, role, &self.planted, settings).await
    }

    async fn functions(&self, setting: Option<&str>) -> functions::Walked {
        let role = Role::Api.name().unwrap();
        functions::walk(&self.owner, &self.api, role, &self.planted, setting).await
    }

    async fn run_as_owner(&self, statements: &[&'static str]) {
        for statement in statements {
            let done = sqlx::raw_sql(*statement).execute(&self.owner).await;
            assert!(done.is_ok(), "{statement}: {done:?}");
        }
    }
}

const NOTHING: [Finding; 0] = [];

#[tokio::test]
async fn no_relation_shows_anything_of_somebody_else() {
    let world = World::new().await;
    // The search finds what is to be seen.
    let views = relations::views_of_organizations(&world.owner).await;
    assert!(views.len() >= 10, "{views:?}");
    let seen = relations::seen_by_its_own(&world.api, &world.planted, &views).await;
    assert_eq!(seen, views.len());
    let statistics =
        "select row(s.*)::text from pg_stats s where schemaname like '\\_timescaledb%'";
    let Ok(statistics) = in_setting(&world.owner, None, statistics).await else {
        panic!("the owner reads statistics");
    };
    assert!(statistics.iter().any(|row| world.planted.shows_in(row)));

    let other = Uuid::new_v4().to_string();
    let settings = [
        Some(other.as_str()),
        None,
        Some("not an organization"),
        Some("' or true --"),
    ];
    let (relations, findings) = world.relations(&settings).await;
    assert_eq!(findings, NOTHING);
    // Its own, the catalogs, and TimescaleDB's.
    assert!(relations > 200, "{relations}");
}

#[tokio::test]
async fn no_function_shows_anything_of_somebody_else() {
    let world = World::new().await;
    let other = Uuid::new_v4().to_string();
    let walked = world.functions(Some(&other)).await;
    assert_eq!(walked.findings, NOTHING);
    println!("{} called, {} left out", walked.called, walked.left_out);
    assert!(walked.called > 1000, "{}", walked.called);
}

#[tokio::test]
async fn the_role_is_nobody_and_becomes_nobody() {
    let world = World::new().await;
    let role = Role::Api.name().unwrap();
    let findings = role::walk(&world.owner, &world.api, role).await;
    assert_eq!(findings, NOTHING);
}

/// Whatever is made without isolation is found, by the walk and by the service at its start.
#[tokio::test]
async fn what_is_made_without_isolation_is_reported() {
    let world = World::new().await;
    let leaks = [
        "create table flowmeter.forgotten (organization_id uuid)",
        "create table public.open as select * from flowmeter.command_executions",
        "create view tenant.whole with (security_barrier) as select * from flowmeter.user_sessions",
        "create view tenant.leaky as select * from flowmeter.command_executions
            where organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid",
        "create view tenant.number with (security_barrier) as select count(*) from flowmeter.dead_letters",
        "create materialized view tenant.copy as select * from flowmeter.rollups_1d",
        "grant select on public.open, tenant.whole, tenant.leaky, tenant.number, tenant.copy
            to flowmeter_api",
        // A single column of a table.
        "grant usage on schema flowmeter to flowmeter_api",
        "grant select (session_id) on flowmeter.user_sessions to flowmeter_api",
        "create function tenant.all_names(pattern text) returns setof text
            security definer language sql
            as $$ select command_name from flowmeter.command_executions $$",
        "create function tenant.of_box(box) returns text language sql as $$ select '' $$",
    ];
    world.run_as_owner(&leaks).await;
    let other = Uuid::new_v4().to_string();
    let (_, found) = world.relations(&[Some(&other)]).await;
    for wanted in [
        "flowmeter.forgotten holds organizations' rows without forced row security".to_owned(),
        "public.open is readable and no barrier of schema tenant".to_owned(),
        format!("public.open with organization Some({other:?}): in a row"),
        format!("tenant.whole with organization Some({other:?}): in a row"),
        "tenant.leaky is readable and no barrier of schema tenant".to_owned(),
        format!("tenant.leaky with organization Some({other:?}): through a failing condition"),
        "tenant.number is readable and of no organization".to_owned(),
        format!("tenant.copy with organization Some({other:?}): in a row"),
        format!("flowmeter.user_sessions with organization Some({other:?}): in a row"),
    ] {
        assert!(found.contains(&wanted), "{wanted}: {found:#?}");
    }
    let found = world.functions(Some(&other)).await.findings;
    for wanted in [
        "tenant.all_names runs with its owner's rights",
        "tenant.of_box takes [\"box\"], which the walk cannot give",
        "select x::text from tenant.all_names('tenant'::text) as x shows it",
    ] {
        assert!(found.iter().any(|f| f == wanted), "{wanted}: {found:#?}");
    }

    let refused = TenantDb::new(world.api.clone()).verify_role().await;
    let refused = refused.unwrap_err().to_string();
    for wanted in [
        "it may read 3 tables directly",
        "2 views of schema tenant are not security barriers",
        "1 functions with their owner's rights, such as tenant.all_names",
    ] {
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
}
