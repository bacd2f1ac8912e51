//! `GET /api/metrics/jobs`: what runs by itself, when, and what came of it.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query as QueryString, State, rejection::QueryRejection},
};
use chrono::{DateTime, SecondsFormat, Utc};
use platform::{
    auth::Identity,
    database::TenantTx,
    http::problem::{Problem, ProblemBody},
};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::{
    failure::QueryFailure,
    openapi::{BadQuery, JobsParams},
    params::{Params, problem},
    service::AppState,
    timing,
};

/// The path.
pub(crate) const PATH: &str = "/api/metrics/jobs";
/// The parameters' names.
pub(crate) const PARAMETERS: [&str; 1] = ["limit"];

const MAX_LIMIT: usize = 100;
const DEFAULT_LIMIT: usize = 10;

/// The jobs of the installation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Jobs {
    /// By name.
    data: Vec<JobState>,
    /// How long the query took, in milliseconds.
    query_time_ms: f64,
}

/// A job, when it runs, and its last runs.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct JobState {
    #[schema(example = "reconcile")]
    job: String,
    /// What it does; null when no service that runs jobs has said.
    #[schema(required = true)]
    about: Option<String>,
    /// When it runs, in UTC: a cron expression, `every 300s`, or `off`; null likewise.
    #[schema(required = true)]
    schedule: Option<String>,
    /// When it runs next, as the leading process said last; null: by hand alone.
    #[schema(format = DateTime, required = true)]
    next_at: Option<String>,
    /// Its last runs, the latest first.
    history: Vec<JobRun>,
}

/// One attempt at a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobRun {
    /// Who wanted it: `schedule` or `hand`.
    trigger: String,
    /// The first is 1.
    attempt: i32,
    #[schema(format = DateTime)]
    started_at: String,
    /// Null while it runs.
    #[schema(format = DateTime, required = true)]
    ended_at: Option<String>,
    /// `succeeded`, `failed`, `timed_out`, `interrupted` or `abandoned`; null while it runs.
    #[schema(required = true)]
    outcome: Option<String>,
    /// Of a reconciliation: days of the organization's own whose rollups were healed, with how
    /// many rollups of each window were `missing`, `wrong` or `surplus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>, required = false)]
    healed: Option<Box<RawValue>>,
}

/// The jobs and their last runs
///
/// Jobs work for all organizations; what they did to rows of others is not told. For
/// administrators.
#[utoipa::path(
    get,
    path = PATH,
    tag = "operations",
    params(JobsParams),
    responses(
        (status = 200, description = "The jobs by name.", body = Jobs),
        (status = 400, description = "`invalid_query`: every fault of the parameters, in `errors`.", body = BadQuery, content_type = "application/problem+json"),
        (status = 401, description = "`token_missing`, or `token_invalid` whatever is wrong with the token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`role_not_allowed`: administrators alone may.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the same request passes after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "`internal`: logged under the id in `instance`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`database_unavailable`, or `keys_unavailable` to verify tokens with: the same request may succeed after `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "`query_timeout`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn jobs(
    State(state): State<AppState>,
    identity: Identity,
    pairs: Result<QueryString<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Jobs>, Problem> {
    super::admit(&state, &identity).await?;
    let QueryString(pairs) = pairs?;
    let mut params = Params::new(&pairs, &PARAMETERS);
    let limit = params.whole_number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT);
    let limit = params.faults.or_value(limit).map_err(problem)?;
    let read = async {
        let mut transaction = state.database.begin(identity.organization_id).await?;
        let plans = plans(&mut transaction).await?;
        let runs = runs(&mut transaction, limit).await?;
        transaction.finish();
        joined(plans, runs)
    };
    let (data, elapsed) = timing::bounded("jobs", state.slow_query, read).await?;
    Ok(Json(Jobs {
        data,
        query_time_ms: timing::millis(elapsed),
    }))
}

#[derive(FromRow)]
struct Plan {
    job: String,
    about: String,
    schedule: String,
    next_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Run {
    job: String,
    trigger: String,
    attempt: i32,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    outcome: Option<String>,
    healed: Option<String>,
}

async fn plans(transaction: &mut TenantTx) -> Result<Vec<Plan>, QueryFailure> {
    let sql = "select job, about, schedule, next_at from tenant.job_plans";
    let rows = sqlx::query_as(sql).fetch_all(transaction.connection());
    Ok(rows.await?)
}

async fn runs(transaction: &mut TenantTx, limit: usize) -> Result<Vec<Run>, QueryFailure> {
    let sql = "select job, \"trigger\", attempt, started_at, ended_at, outcome, \
            healed::text as healed \
        from (select *, row_number() over (partition by job order by started_at desc) as n \
            from tenant.job_runs) r \
        where n <= $1 order by job, started_at desc";
    let rows = sqlx::query_as(sql)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(transaction.connection());
    Ok(rows.await?)
}

fn joined(plans: Vec<Plan>, runs: Vec<Run>) -> Result<Vec<JobState>, QueryFailure> {
    let mut jobs = BTreeMap::<String, JobState>::new();
    for plan in plans {
        let job = jobs.entry(plan.job).or_default();
        job.about = Some(plan.about);
        job.schedule = Some(plan.schedule);
        job.next_at = plan.next_at.map(instant);
    }
    for run in runs {
        let healed = run.healed.map(RawValue::from_string).transpose();
        jobs.entry(run.job).or_default().history.push(JobRun {
            trigger: run.trigger,
            attempt: run.attempt,
            started_at: instant(run.started_at),
            ended_at: run.ended_at.map(instant),
            outcome: run.outcome,
            healed: healed.map_err(|_| QueryFailure::Malformed("details"))?,
        });
    }
    let named = |(name, job)| JobState { job: name, ..job };
    Ok(jobs.into_iter().map(named).collect())
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
