//! `GET /api/metrics/stats`: what is stored of an organization, and how large everything is.

use axum::{Json, extract::State};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use platform::{
    auth::Identity,
    database::TenantTx,
    http::problem::{Problem, ProblemBody},
};
use schemas::{EventKind, Window};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use sqlx::{AssertSqlSafe, FromRow, Row};
use utoipa::ToSchema;

use crate::{failure::QueryFailure, service::AppState, timing};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/stats";

/// How far back dead letters are counted, in days.
const LETTER_DAYS: i32 = 30;

/// What is stored of the organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// When rows of the organization last changed; null if they never did.
    #[schema(format = DateTime, required = true)]
    changed_at: Option<String>,
    /// Events by kind, counted by the rollups: exact, and with those whose raw rows retention
    /// has removed.
    events: Vec<EventCount>,
    /// Tables with rows of the organization.
    tables: Vec<TableRows>,
    /// Dead letters of the last 30 days by reason, the most frequent first.
    dead_letters: Vec<LetterCount>,
    /// The last measurement of the job `storage`: of all organizations together. Null before
    /// there was one.
    #[schema(required = true)]
    storage: Option<StorageStats>,
    /// How long the query took, in milliseconds.
    query_time_ms: f64,
}

/// Events of a kind.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct EventCount {
    /// `command`, `agent`, `metric` or `session`.
    kind: String,
    /// How many.
    count: i64,
    /// The first day with one, in UTC.
    first_day: NaiveDate,
    /// The last day with one, in UTC.
    last_day: NaiveDate,
}

/// A table's rows of the organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TableRows {
    #[schema(example = "rollups_1h")]
    table: String,
    /// As the database's planner estimates it from its statistics.
    estimated_rows: u64,
}

/// Dead letters with a reason.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LetterCount {
    reason: String,
    /// How many.
    count: i64,
    /// How many of these were sent again.
    replayed: i64,
}

/// How large everything is, in bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StorageStats {
    #[schema(format = DateTime)]
    measured_at: String,
    /// `database_bytes`, `edition`, and of each of `tables` its `bytes` with indexes, its
    /// `chunks`, and `since` when they hold rows.
    #[schema(value_type = Object)]
    details: Box<RawValue>,
}

/// What is stored of the organization
///
/// For administrators.
#[utoipa::path(
    get,
    path = PATH,
    tag = "operations",
    responses(
        (status = 200, description = "Counts, estimates and sizes.", body = Stats),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`role_not_allowed`: administrators alone may.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the same request passes after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "`internal`: logged under the id in `instance`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`database_unavailable`, or `keys_unavailable` to verify tokens with: the same request may succeed after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "`query_timeout`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn stats(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Json<Stats>, Problem> {
    super::admit(&state, &identity).await?;
    let read = async {
        let mut transaction = state.database.begin(identity.organization_id).await?;
        let stats = read(&mut transaction).await?;
        transaction.finish();
        Ok(stats)
    };
    let (mut stats, elapsed) = timing::bounded("stats", state.slow_query, read).await?;
    stats.query_time_ms = timing::millis(elapsed);
    Ok(Json(stats))
}

async fn read(transaction: &mut TenantTx) -> Result<Stats, QueryFailure> {
    let version: Option<i64> =
        sqlx::query_scalar("select version from tenant.organization_version")
            .fetch_optional(transaction.connection())
            .await?;
    Ok(Stats {
        changed_at: version
            .and_then(DateTime::from_timestamp_micros)
            .map(instant),
        events: events(transaction).await?,
        tables: tables(transaction).await?,
        dead_letters: letters(transaction).await?,
        storage: storage(transaction).await?,
        query_time_ms: 0.0,
    })
}

/// Counted in the longest window that is kept, which has the fewest rows.
async fn events(transaction: &mut TenantTx) -> Result<Vec<EventCount>, QueryFailure> {
    for window in Window::ALL.into_iter().rev() {
        let sql = format!(
            "select kind, sum(event_count)::bigint as count, \
                (min(bucket_start) at time zone 'UTC')::date as first_day, \
                (max(bucket_start) at time zone 'UTC')::date as last_day \
             from tenant.rollups_{window} where scope = 'organization' group by kind order by kind"
        );
        let counts: Vec<EventCount> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(transaction.connection())
            .await?;
        if !counts.is_empty() {
            return Ok(counts);
        }
    }
    Ok(Vec::new())
}

/// Counting rows takes as long as there are many; the planner knows about how many there are.
async fn tables(transaction: &mut TenantTx) -> Result<Vec<TableRows>, QueryFailure> {
    let raw = EventKind::ALL
        .into_iter()
        .map(|kind| kind.plural().to_owned());
    let rollups = Window::ALL
        .into_iter()
        .map(|window| format!("rollups_{window}"));
    let mut tables = Vec::new();
    for table in raw.chain(rollups) {
        let sql = format!("explain (format json) select 1 from tenant.{table}");
        let row = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(transaction.connection())
            .await?;
        let plan: String = row.try_get_unchecked(0)?;
        let plan: Value =
            serde_json::from_str(&plan).map_err(|_| QueryFailure::Malformed("plan"))?;
        let rows = plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_f64);
        tables.push(TableRows {
            table,
            estimated_rows: rows.ok_or(QueryFailure::Malformed("plan"))? as u64,
        });
    }
    Ok(tables)
}

async fn letters(transaction: &mut TenantTx) -> Result<Vec<LetterCount>, QueryFailure> {
    let sql = "select reason, count(*) as count, count(replayed_at) as replayed \
        from tenant.dead_letters where recorded_at >= now() - make_interval(days => $1) \
        group by reason order by count desc, reason";
    let counts = sqlx::query_as(sql)
        .bind(LETTER_DAYS)
        .fetch_all(transaction.connection());
    Ok(counts.await?)
}

async fn storage(transaction: &mut TenantTx) -> Result<Option<StorageStats>, QueryFailure> {
    let sql = "select measured_at, details::text from tenant.storage";
    let measured: Option<(DateTime<Utc>, String)> = sqlx::query_as(sql)
        .fetch_optional(transaction.connection())
        .await?;
    let stats = |(measured_at, details)| {
        Ok(StorageStats {
            measured_at: instant(measured_at),
            details: RawValue::from_string(details)
                .map_err(|_| QueryFailure::Malformed("details"))?,
        })
    };
    measured.map(stats).transpose()
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
