//! The query API against PostgreSQL alone with the same SQL.

mod mix;
mod pgbench;
mod server;

use std::time::Duration;

use anyhow::ensure;
use platform::database;
use serde_json::Value;

use self::{
    mix::Query,
    pgbench::Pgbench,
    server::{Server, Year},
};
use crate::harness::{
    Absent, Bound, Comparison, Context, Goal, Outcome, Run, Stage, statistics::Spread,
};

/// Connections of either side, to the query API and to the database.
const CLIENTS: usize = 50;

/// The row.
#[derive(Debug)]
pub(super) struct Queries;

impl Stage for Queries {
    fn name(&self) -> &'static str {
        "queries"
    }

    fn about(&self) -> &'static str {
        "Five queries of a generated year in turns, 50 clients in a closed loop: the query API, \
         without a cache, against pgbench with the SQL that it makes of them; and the query API \
         with answers that are kept. Needs the stack and pgbench."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let year = runtime.block_on(Year::load(context))?;
        let queries = mix::mix();
        let (paths, seconds) = (paths(&queries), context.choose(10.0, 30.0));
        let mut outcome = Outcome::default();
        let server = year.serve(context, false)?;
        let rows = runtime.block_on(check(&year, &server, &queries))?;
        outcome.notes.push(format!(
            "Checked before: both find the same commands. {}. A run takes {seconds:.0} s. The \
             database has no cores of its own.",
            told(&queries, &rows)
        ));
        match pgbench::version() {
            Some(version) => {
                let scripts: Vec<String> = queries
                    .iter()
                    .zip(&rows)
                    .map(|(query, rows)| query.script(*rows))
                    .collect();
                let peer = Pgbench::new(context, year.installation.database.url_text(), &scripts)?;
                let pairs = context.alternate(
                    "queries",
                    || load(context, &server, &paths, seconds),
                    || peer.run(context, seconds),
                )?;
                outcome.bounds.push(Bound {
                    name: "p50 of the query API / p50 of pgbench".to_owned(),
                    values: pairs
                        .iter()
                        .map(|pair| pair.ours.values["p50_ms"] / pair.peer.values["p50_ms"])
                        .collect(),
                    bound: 1.3,
                    at_least: false,
                });
                outcome.comparisons.push(Comparison {
                    name: "uncached".to_owned(),
                    ours: "the query API, CACHE_TTL_SECONDS=0".to_owned(),
                    peer: version,
                    unit: "queries".to_owned(),
                    goal: Goal::None,
                    pairs,
                    commands: vec!["bench --only queries".to_owned()],
                });
            }
            None => outcome.absent.push(Absent {
                peer: "pgbench".to_owned(),
                reason: "it is not installed".to_owned(),
            }),
        }
        drop(server);
        let server = year.serve(context, true)?;
        kept(context, &server, &paths, seconds, &mut outcome)?;
        Ok(outcome)
    }
}

/// Answers that are kept: as often as there are pairs, after one run that fills the cache.
fn kept(
    context: &Context,
    server: &Server,
    paths: &[String],
    seconds: f64,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for number in 0..=context.options.pairs {
        let run = load(context, server, paths, seconds)?;
        context.say(format!(
            "queries: kept, {number}: {:.0}/s, {:?}",
            run.rate(),
            run.values
        ));
        if number > 0 {
            runs.push(run);
        }
    }
    outcome.bounds.push(Bound {
        name: "kept answers a second".to_owned(),
        values: runs.iter().map(Run::rate).collect(),
        bound: 40_000.0,
        at_least: true,
    });
    for (told, value) in [
        ("p50", "p50_ms"),
        ("p95", "p95_ms"),
        ("p99", "p99_ms"),
        ("kB an answer", "kb_an_answer"),
    ] {
        let spread: Spread = runs.iter().map(|run| run.values[value]).collect();
        outcome.notes.push(format!(
            "Kept answers, {told}: {:.2} ({:.2} to {:.2}).",
            spread.median, spread.min, spread.max
        ));
    }
    Ok(())
}

fn paths(queries: &[Query]) -> Vec<String> {
    queries.iter().map(|query| query.path.clone()).collect()
}

fn told(queries: &[Query], rows: &[i64]) -> String {
    let each = queries.iter().zip(rows);
    let each = each.map(|(query, rows)| format!("{}: {rows} rows", query.name));
    each.collect::<Vec<_>>().join(", ")
}

/// A run of the load in a worker, on its core.
fn load(context: &Context, server: &Server, paths: &[String], seconds: f64) -> anyhow::Result<Run> {
    let plan = server.plan(paths.to_vec(), CLIENTS, seconds);
    let command = context.planned_worker(Some(&context.cores.load), "http-load", &plan)?;
    let clock = server.clock();
    let mut run = context.measure(command, Duration::from_secs(300))?;
    // Processor time is the server's; that of the load is no cost of an answer.
    run.parts = vec![clock.part("query API")];
    Ok(run)
}

/// That each query finds something, and both sides the same; gives how many rows of the
/// database each reads.
async fn check(year: &Year, server: &Server, queries: &[Query]) -> anyhow::Result<Vec<i64>> {
    let pool = year.installation.database.pool(database::Role::Owner).await;
    let mut all = Vec::new();
    for query in queries {
        let mut transaction = pool.begin().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(mix::tenant()))
            .execute(&mut *transaction)
            .await?;
        let mut numbers = Vec::new();
        for sql in [query.count(), query.told.clone()] {
            let number = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
            numbers.push(number.fetch_one(&mut *transaction).await?);
        }
        let [rows, wanted]: [i64; 2] = numbers.try_into().unwrap_or_default();
        let answer = server.get(&query.path).await?;
        let data = answer["data"].as_array().map_or(&[][..], Vec::as_slice);
        let count = |row: &Value, kind: &str| row[kind]["count"].as_i64().unwrap_or(0);
        let found = if query.is_list {
            i64::try_from(data.len())?
        } else {
            data.iter()
                .map(|row| count(row, "commands") + count(row, "agents"))
                .sum()
        };
        ensure!(
            found == wanted && found > 0,
            "{}: {found} commands and interactions, and {wanted} by SQL",
            query.name
        );
        all.push(rows);
    }
    Ok(all)
}
