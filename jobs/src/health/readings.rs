//! What is measured.

use std::collections::BTreeMap;

use platform::config::KafkaConfig;
use platform::database::rollup_columns::{RollupColumns, SELECTED};
use platform::kafka::client::KafkaClientConfig;
use platform::telemetry::process::resident_bytes;
use schemas::{Rollup, Topics, event::Status};
use sqlx::{AssertSqlSafe, FromRow, PgPool, Row};
use uuid::Uuid;

use super::alerts::Reading;
use super::{HealthConfig, lag};

const ERROR_RATE: &str = "error_rate";
const P95: &str = "p95_ms";
const LAG: &str = "consumer_lag";
const KAFKA: &str = "kafka_away";
const WATERMARK: &str = "watermark_age_seconds";
const MEMORY: &str = "memory_mb";
const DATABASE: &str = "database_gb";

/// All conditions.
pub(super) const CONDITIONS: [&str; 7] = [ERROR_RATE, P95, LAG, KAFKA, WATERMARK, MEMORY, DATABASE];

const MEBIBYTE: f64 = (1 << 20) as f64;
const GIBIBYTE: f64 = (1 << 30) as f64;

/// Where readings come from.
pub(super) struct Sources {
    config: HealthConfig,
    lag: lag::Groups,
}

impl Sources {
    pub(super) fn new(kafka: &KafkaConfig, config: &HealthConfig) -> Self {
        Self {
            config: config.clone(),
            lag: lag::Groups {
                client: KafkaClientConfig::from(kafka),
                topics: Topics::new(&kafka.topic_prefix),
                prefix: kafka.group_prefix.clone(),
            },
        }
    }

    /// All readings now, and the conditions of which nothing can be said.
    pub(super) async fn read(
        &self,
        pool: &PgPool,
    ) -> anyhow::Result<(Vec<Reading>, Vec<&'static str>)> {
        let mut readings = Vec::new();
        let mut add = |condition, subject: String, value: f64, threshold: f64| {
            if threshold > 0.0 {
                readings.push(Reading {
                    condition,
                    subject,
                    value,
                    threshold,
                });
            }
        };
        let HealthConfig {
            error_rate,
            p95_ms,
            lag,
            watermark_age,
            memory_mb,
            database_gb,
            ..
        } = self.config;
        for (organization, commands) in self.commands(pool).await? {
            if commands.count < self.config.min_commands {
                continue;
            }
            let wrong = commands.with_status(Status::Error) + commands.with_status(Status::Timeout);
            let share = wrong as f64 / commands.count as f64;
            add(ERROR_RATE, organization.to_string(), share, error_rate);
            if let Some(p95) = commands.quantile(0.95) {
                add(P95, organization.to_string(), p95, p95_ms);
            }
        }
        let mut unknown = Vec::new();
        let lags = self.lag.read(pool).await?;
        if let Err(error) = &lags {
            tracing::warn!(%error, "the consumers' lag cannot be told");
            unknown.push(LAG);
        }
        add(
            KAFKA,
            String::new(),
            f64::from(u8::from(lags.is_err())),
            0.5,
        );
        for (consumer, records) in lags.unwrap_or_default() {
            add(LAG, consumer.to_owned(), records as f64, lag);
        }
        let (age, bytes): (Option<f64>, i64) = sqlx::query_as(
            "select (select extract(epoch from now() - min(until))::float8 \
                from flowmeter.watermarks having count(*) >= max(expected_rows)), \
             pg_database_size(current_database())",
        )
        .fetch_one(pool)
        .await?;
        match age {
            Some(age) => add(WATERMARK, String::new(), age, watermark_age),
            None => unknown.push(WATERMARK),
        }
        add(
            DATABASE,
            String::new(),
            bytes as f64 / GIBIBYTE,
            database_gb,
        );
        match resident_bytes() {
            Some(bytes) => add(MEMORY, String::new(), bytes as f64 / MEBIBYTE, memory_mb),
            None => unknown.push(MEMORY),
        }
        Ok((readings, unknown))
    }

    /// The last minutes' commands of each organization.
    async fn commands(&self, pool: &PgPool) -> anyhow::Result<BTreeMap<Uuid, Rollup>> {
        let sql = format!(
            "select organization_id, {SELECTED} from flowmeter.rollups_1m \
             where scope = 'organization' and kind = 'command' \
                and bucket_start >= now() - make_interval(secs => $1)"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(self.config.window.as_secs_f64())
            .fetch_all(pool)
            .await?;
        let mut sums = BTreeMap::<Uuid, Rollup>::new();
        for row in rows {
            let rollup = RollupColumns::from_row(&row)?
                .rollup()
                .map_err(anyhow::Error::msg)?;
            let sum = sums.entry(row.try_get("organization_id")?).or_default();
            sum.merge(&rollup);
        }
        Ok(sums)
    }
}
