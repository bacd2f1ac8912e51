//! What each organization did yesterday.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{Days, NaiveDate, NaiveTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use platform::database::rollup_columns::{RollupColumns, SELECTED};
use schemas::{Rollup, event::Status};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, FromRow, PgPool, Row};
use uuid::Uuid;

use crate::job::{Job, Run, Spec};

pub(crate) const SPEC: Spec = Spec {
    name: "report",
    about: "sums up each organization's yesterday in performance_reports",
    schedule: "15 0 * * *",
    timeout: Duration::from_secs(30 * 60),
};

/// The job.
pub(crate) struct Report;

type Kinds = BTreeMap<String, Rollup>;

impl Report {
    async fn make(run: &Run) -> anyhow::Result<Value> {
        let day = Utc::now().date_naive() - Days::new(1);
        let organizations = sums(&run.pool, day).await?;
        let mut events = 0;
        for (organization, kinds) in &organizations {
            if run.stop.is_triggered() {
                break;
            }
            events += kinds.values().map(|rollup| rollup.count).sum::<u64>();
            let report = report(kinds);
            tracing::info!(%organization, %day, %report, "daily performance");
            write(&run.pool, day, *organization, &report).await?;
        }
        Ok(json!({ "day": day, "organizations": organizations.len(), "events": events }))
    }
}

impl Job for Report {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, anyhow::Result<Value>> {
        Self::make(run).boxed()
    }
}

/// The day's rollups of each organization, by kind.
async fn sums(pool: &PgPool, day: NaiveDate) -> anyhow::Result<BTreeMap<Uuid, Kinds>> {
    let sql = format!(
        "select organization_id, kind, {SELECTED} from flowmeter.rollups_1d \
         where scope = 'organization' and bucket_start = $1"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(day.and_time(NaiveTime::MIN).and_utc())
        .fetch_all(pool)
        .await?;
    let mut sums = BTreeMap::<Uuid, Kinds>::new();
    for row in rows {
        let rollup = RollupColumns::from_row(&row)?
            .rollup()
            .map_err(anyhow::Error::msg)?;
        let kinds = sums.entry(row.try_get("organization_id")?).or_default();
        kinds
            .entry(row.try_get("kind")?)
            .or_default()
            .merge(&rollup);
    }
    Ok(sums)
}

/// Of each kind: how many, how many went wrong, how long they took, and what they cost.
fn report(kinds: &Kinds) -> Value {
    let of_kind = |(kind, rollup): (&String, &Rollup)| {
        let mut said = json!({ "count": rollup.count });
        if matches!(kind.as_str(), "command" | "agent") {
            let wrong = rollup.with_status(Status::Error) + rollup.with_status(Status::Timeout);
            said["error_rate"] = json!(wrong as f64 / rollup.count.max(1) as f64);
            for (name, q) in [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)] {
                said[name] = json!(rollup.quantile(q));
            }
        }
        if kind == "agent" {
            said["input_tokens"] = json!(rollup.input_tokens.to_string());
            said["output_tokens"] = json!(rollup.output_tokens.to_string());
            said["cost_usd"] = json!(rollup.cost.to_string());
        }
        (kind.clone(), said)
    };
    kinds.iter().map(of_kind).collect::<Map<_, _>>().into()
}

async fn write(
    pool: &PgPool,
    day: NaiveDate,
    organization: Uuid,
    report: &Value,
) -> sqlx::Result<()> {
    let sql = "insert into flowmeter.performance_reports (day, organization_id, report) \
         values ($1, $2, $3::text::jsonb) on conflict (day, organization_id) \
         do update set report = excluded.report, made_at = now()";
    sqlx::query(sql)
        .bind(day)
        .bind(organization)
        .bind(report.to_string())
        .execute(pool)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use schemas::{Event, Timestamp, event::CommandExecution};

    use super::*;

    #[test]
    fn errors_and_timeouts_are_what_went_wrong() {
        let mut rollup = Rollup::default();
        for (n, status) in Status::ALL.into_iter().enumerate() {
            rollup.merge(&Rollup::of(&Event::CommandExecution(CommandExecution {
                event_id: Uuid::nil(),
                organization_id: Uuid::nil(),
                timestamp: Timestamp::MIN,
                user_id: Uuid::nil(),
                team_id: None,
                project_id: None,
                command_name: "build".to_owned(),
                execution_time_ms: i64::try_from(n).unwrap() * 100,
                status,
                command_args: None,
                error_message: None,
                context: None,
            })));
        }
        let report = report(&[("command".to_owned(), rollup)].into());
        assert_eq!(report["command"]["count"], 4);
        assert_eq!(report["command"]["error_rate"], 0.5);
        assert!(
            report["command"]["p95_ms"].as_f64().unwrap() > 200.0,
            "{report}"
        );
    }
}
