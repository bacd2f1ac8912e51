//! A year of a mid-sized organization, straight into a migrated database.
//!
//! What the sink would have written, by COPY: rollups of an hour and of a day for every day,
//! raw rows for the last ones, as after retention. Equal seeds give equal years. `flowmeter
//! rebuild --dry-run` with `AGGREGATION_WINDOWS=1h,1d` says whether the two are equal.

mod copy;
mod day;
mod organization;
mod rollups;

use std::time::Instant;

use anyhow::Context;
use chrono::{NaiveDate, TimeDelta, Utc};
use clap::Parser;
use platform::database::{DatabaseUrl, Role, connect, rollup_columns::BY_USER};
use rand::{SeedableRng, rngs::StdRng};
use schemas::EventKind;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use self::{organization::Organization, rollups::Rollups};

#[derive(Debug, Parser)]
#[command(about = "Load a year of generated events into a migrated database")]
struct Args {
    /// The owner's
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long, default_value_t = Uuid::from_u128(0xa11ce))]
    organization: Uuid,
    #[arg(long, default_value_t = 500)]
    users: usize,
    #[arg(long, default_value_t = 365)]
    days: i64,
    /// Days with raw rows, the last ones
    #[arg(long, default_value_t = 90)]
    raw_days: i64,
    /// The last day; yesterday if not given
    #[arg(long)]
    until: Option<NaiveDate>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[allow(clippy::print_stdout, reason = "the summary is the output")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let url = DatabaseUrl::parse(&args.database_url)?;
    let pool = connect(&url, 1, "flowmeter-year", Role::Owner, None).await?;
    let mut connection = pool.acquire().await?;
    let mut random = StdRng::seed_from_u64(args.seed);
    let organization = Organization::new(&mut random, args.organization, args.users);
    let until = args
        .until
        .unwrap_or_else(|| (Utc::now() - TimeDelta::days(1)).date_naive());
    let started = Instant::now();
    let (mut events, mut raw, mut rows) = (0, 0, 0);
    for ago in (0..args.days).rev() {
        let date = until - TimeDelta::days(ago);
        let day = day::events(&mut random, &organization, date)?;
        events += day.len();
        let mut rollups = Rollups::default();
        for event in &day {
            rollups.add(event);
        }
        rows += rollups.store(&mut connection, args.organization).await?;
        if ago < args.raw_days {
            raw += day.len();
            copy::events(&mut connection, &day, date).await?;
        }
        if ago % 30 == 0 {
            println!(
                "{date}: {events} events, {raw} raw rows, {rows} rollups, {:?}",
                started.elapsed()
            );
        }
    }
    let users = format!(
        "insert into flowmeter.rollups_1d_by_user \
         select * from ({BY_USER}) rows where organization_id = $1 order by bucket_start"
    );
    sqlx::query(AssertSqlSafe(users))
        .bind(args.organization)
        .execute(&mut *connection)
        .await
        .context("days of users")?;
    let tables = EventKind::ALL.map(EventKind::plural).map(str::to_owned);
    for table in tables
        .into_iter()
        .chain(rollups::tables())
        .chain(["rollups_1d_by_user".to_owned()])
    {
        let analyze = AssertSqlSafe(format!("analyze flowmeter.{table}"));
        sqlx::raw_sql(analyze)
            .execute(&mut *connection)
            .await
            .context("analyze")?;
    }
    println!("done in {:?}", started.elapsed());
    Ok(())
}
