//! A database with rollups of made-up events, and the service over it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
    response::Response,
};
use platform::{
    auth::{Identity, Role, Verifier, issue},
    config::{Env, JwtConfig, RateLimitConfig},
    database::{
        self, TenantDb, changes,
        rollup_columns::{BY_USER, RollupColumns},
    },
    http::health::Health,
    lifecycle::Shutdown,
    rate_limit::RateLimiter,
    test_support::TestDatabase,
};
use schemas::{
    Rollup, Timestamp, Window,
    event::Status,
    rollup::{ExecutionTime, Scope, Series, SeriesKind, Values},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    LiveConfig,
    cache::{Cache, CacheConfig},
    live::Live,
    operations::Operations,
};

pub(super) const OURS: Uuid = Uuid::from_u128(0xa);
pub(super) const THEIRS: Uuid = Uuid::from_u128(0xb);

/// One event, as the aggregator sees it.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) at: Timestamp,
    pub(super) series: Series,
    pub(super) rollup: Rollup,
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A user, team or project by a small number.
pub(super) fn id(number: u128) -> Option<Uuid> {
    Some(Uuid::from_u128(number))
}

pub(super) fn fact(when: &str, kind: SeriesKind, name: &str, rollup: Rollup) -> Fact {
    Fact {
        at: at(when),
        series: Series {
            kind,
            name: name.to_owned(),
            model: None,
            team_id: None,
            project_id: None,
            user_id: None,
        },
        rollup,
    }
}

impl Fact {
    pub(super) fn by(mut self, user: Option<Uuid>, team: Option<Uuid>) -> Self {
        self.series.user_id = user;
        self.series.team_id = team;
        self
    }

    pub(super) fn in_project(mut self, project: Option<Uuid>) -> Self {
        self.series.project_id = project;
        self
    }

    pub(super) fn of_model(mut self, model: &str) -> Self {
        self.series.model = Some(model.to_owned());
        self
    }
}

pub(super) fn execution(status: Status, millis: u64) -> Rollup {
    Rollup {
        count: 1,
        by_status: Status::ALL.map(|s| u64::from(s == status)),
        execution_time: Some(ExecutionTime::of(millis)),
        ..Rollup::default()
    }
}

pub(super) fn interaction(status: Status, millis: u64, tokens: (u64, u64), cost: &str) -> Rollup {
    Rollup {
        input_tokens: tokens.0,
        output_tokens: tokens.1,
        cost: cost.parse().unwrap(),
        ..execution(status, millis)
    }
}

pub(super) fn metric(value: f64) -> Rollup {
    Rollup {
        count: 1,
        values: Some(Values::of(value)),
        ..Rollup::default()
    }
}

/// A session event: of an end, minutes, score and commands.
pub(super) fn session(minutes: Option<u64>, score: Option<f64>, commands: u64) -> Rollup {
    Rollup {
        count: 1,
        execution_time: minutes.map(|m| ExecutionTime::of(m * 60_000)),
        commands_executed: commands,
        values: score.map(Values::of),
        ..Rollup::default()
    }
}

pub(super) struct World {
    /// Which several tests may share.
    pub(super) database: Arc<TestDatabase>,
    pub(super) pool: PgPool,
    pub(super) app: Router,
    pub(super) jwt: JwtConfig,
    pub(super) live: Live,
}

/// The service with some settings, with what tests look into.
pub(super) struct Service {
    pub(super) app: Router,
    pub(super) jwt: JwtConfig,
    /// Does not listen yet.
    pub(super) cache: Arc<Cache>,
    /// Follows nothing: what it holds is the test's to say.
    pub(super) live: Live,
}

impl Service {
    /// Over a pool; live views end with `shutdown`.
    pub(super) fn over(pool: PgPool, settings: &[(&str, &str)], shutdown: Shutdown) -> Self {
        let defaults = [
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("RATE_LIMIT_READS", "0"),
        ];
        let given = |name: &str| settings.iter().any(|(setting, _)| *setting == name);
        let defaults = defaults.iter().filter(|(name, _)| !given(name));
        let mut env = Env::from_pairs(defaults.chain(settings).copied());
        let jwt = JwtConfig::from_env(&mut env);
        let limiter = RateLimiter::start(&RateLimitConfig::from_env(&mut env)).unwrap();
        let cache = Arc::new(Cache::start(&CacheConfig::from_env(&mut env)).unwrap());
        let live = Live::new(&LiveConfig::from_env(&mut env), shutdown);
        let health = Health::new("query-api", "0.0.0");
        let database = TenantDb::new(pool);
        crate::health::watch(&health, &database);
        let operations = Operations::start("test-1", None, &health, Shutdown::new()).unwrap();
        let state = crate::service::Parts {
            database,
            verifier: Arc::new(Verifier::start(&jwt).unwrap()),
            limiter: Arc::new(limiter),
            cache: Arc::clone(&cache),
            windows: Window::ALL.into(),
            slow_query: Duration::from_secs(1),
            live: live.clone(),
            operations: Arc::new(operations),
            exports: crate::export::room(2),
        };
        Self {
            app: crate::service::router(state.into(), &health),
            jwt,
            cache,
            live,
        }
    }
}

impl World {
    /// A database in which `facts` are rolled up in every scope and window.
    pub(super) async fn with(facts: &[(Uuid, Fact)]) -> Self {
        let database = TestDatabase::create().await;
        let sink = database.pool(database::Role::Sink).await;
        store(&sink, facts).await;
        let pool = database.pool(database::Role::Api).await;
        Self::over(database, pool)
    }

    /// The service with this pool, and without rate limits.
    pub(super) fn over(database: impl Into<Arc<TestDatabase>>, pool: PgPool) -> Self {
        Self::limited(database, pool, "0")
    }

    /// The service with this pool and at most so many reads in a minute.
    pub(super) fn limited(
        database: impl Into<Arc<TestDatabase>>,
        pool: PgPool,
        reads: &str,
    ) -> Self {
        Self::set(
            database,
            pool,
            &[("RATE_LIMIT_READS", reads)],
            Shutdown::new(),
        )
    }

    /// The service with settings of live views, which end with `shutdown`.
    pub(super) async fn live(settings: &[(&str, &str)], shutdown: Shutdown) -> Self {
        let database = TestDatabase::create().await;
        let pool = database.pool(database::Role::Api).await;
        Self::set(database, pool, settings, shutdown)
    }

    fn set(
        database: impl Into<Arc<TestDatabase>>,
        pool: PgPool,
        settings: &[(&str, &str)],
        shutdown: Shutdown,
    ) -> Self {
        let Service { app, jwt, live, .. } = Service::over(pool.clone(), settings, shutdown);
        Self {
            app,
            database: database.into(),
            pool,
            jwt,
            live,
        }
    }

    pub(super) fn token(&self, organization_id: Uuid, role: Role) -> String {
        let identity = Identity {
            user_id: Uuid::from_u128(1),
            organization_id,
            role,
            team_ids: None,
        };
        issue(&self.jwt, &identity, Duration::from_secs(60)).unwrap()
    }

    pub(super) async fn send(&self, path: &str, token: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).unwrap();
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Status and body of a query of one's own organization.
    pub(super) async fn ask(&self, organization: Uuid, query: &str) -> (u16, Value) {
        let token = self.token(organization, Role::Viewer);
        let path = format!("{}?{query}", crate::aggregated::PATH);
        let response = self.send(&path, Some(&token)).await;
        (response.status().as_u16(), body(response).await)
    }

    /// The rows of a query that must succeed.
    pub(super) async fn rows(&self, organization: Uuid, query: &str) -> Vec<Value> {
        let (status, body) = self.ask(organization, query).await;
        assert_eq!(status, 200, "{query}: {body}");
        body["data"].as_array().unwrap().clone()
    }
}

pub(super) async fn body(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Writes what the sink would: one row per organization, scope, bucket and series.
pub(super) async fn store(sink: &PgPool, facts: &[(Uuid, Fact)]) {
    let mut connection = sink.begin().await.unwrap();
    for window in Window::ALL {
        let mut rows: BTreeMap<_, Rollup> = BTreeMap::new();
        for (organization, fact) in facts {
            for scope in Scope::ALL {
                let bucket = window.start(fact.at);
                let series = fact.series.within(scope);
                let row = rows.entry((*organization, scope, bucket, series));
                row.or_default().merge(&fact.rollup);
            }
        }
        for ((organization, scope, bucket, series), rollup) in rows {
            let columns = RollupColumns::of(&rollup);
            sqlx::query(AssertSqlSafe(format!(
                "insert into flowmeter.rollups_{window} (organization_id, scope, bucket_start, \
                 series_id, kind, name, model, team_id, project_id, user_id, event_count, \
                 success_count, error_count, timeout_count, cancelled_count, execution_time_sum, \
                 execution_time_min, execution_time_max, histogram, input_tokens, output_tokens, \
                 cost_usd, value_sum, value_min, value_max, value_count, commands_executed) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                 $16::text::numeric, $17, $18, $19, $20::text::numeric, $21::text::numeric, \
                 $22::text::numeric, $23::text::numeric, $24, $25, $26, $27::text::numeric)"
            )))
            .bind(organization)
            .bind(scope.as_str())
            .bind(chrono::DateTime::<chrono::Utc>::from(bucket))
            .bind(series.id())
            .bind(series.kind.as_str())
            .bind(&series.name)
            .bind(&series.model)
            .bind(series.team_id)
            .bind(series.project_id)
            .bind(series.user_id)
            .bind(columns.event_count)
            .bind(columns.success_count)
            .bind(columns.error_count)
            .bind(columns.timeout_count)
            .bind(columns.cancelled_count)
            .bind(columns.execution_time_sum)
            .bind(columns.execution_time_min)
            .bind(columns.execution_time_max)
            .bind(columns.histogram)
            .bind(columns.input_tokens)
            .bind(columns.output_tokens)
            .bind(columns.cost_usd)
            .bind(columns.value_sum)
            .bind(columns.value_min)
            .bind(columns.value_max)
            .bind(columns.value_count)
            .bind(columns.commands_executed)
            .execute(&mut *connection)
            .await
            .unwrap();
        }
    }
    // Anew, since others may have been there.
    let users = format!(
        "delete from flowmeter.rollups_1d_by_user; \
         insert into flowmeter.rollups_1d_by_user {BY_USER}"
    );
    sqlx::raw_sql(AssertSqlSafe(users))
        .execute(&mut *connection)
        .await
        .unwrap();
    let organizations = facts.iter().map(|(organization, _)| *organization);
    changes::raise(&mut connection, organizations)
        .await
        .unwrap();
    connection.commit().await.unwrap();
}

/// Writes what two sources are said to be read up to, in the only partition.
pub(super) async fn say(pool: &PgPool, sources: &[(i32, &str)]) {
    for (source, until) in sources {
        sqlx::query(
            "insert into flowmeter.watermarks values ('command_execution', $1, 0, $2::text::timestamptz, 2) \
             on conflict (kind, source_partition, admitted_partition) do update set until = excluded.until",
        )
        .bind(source)
        .bind(until)
        .execute(pool)
        .await
        .unwrap();
    }
}
