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
    pgbench::{Mode, Pgbench},
    server::{Server, Year},
};
use crate::harness::{
    Absent, Bound, Comparison, Context, Goal, Outcome, Pair, Run, Stage, http_load::Request,
    statistics::Spread,
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
         without a cache, against pgbench with the SQL that it makes of them; and the four of \
         them whose answers are kept, from the cache. Needs the stack and pgbench."
    }

    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let year = runtime.block_on(Year::load(context))?;
        let queries = mix::mix();
        let (requests, seconds) = (plain(&queries), context.choose(10.0, 15.0));
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
                let url = year.installation.database.url_text();
                for mode in [Mode::Simple, Mode::Prepared] {
                    let peer = Pgbench::new(context, url, mode, &queries)?;
                    let pairs = context.alternate(
                        &format!("queries, {}", mode.name()),
                        || load(context, &server, &requests, seconds),
                        || peer.run(context, seconds),
                    )?;
                    against(mode, &version, pairs, &mut outcome);
                }
            }
            None => outcome.absent.push(Absent {
                peer: "pgbench".to_owned(),
                reason: "it is not installed".to_owned(),
            }),
        }
        drop(server);
        let server = year.serve(context, true)?;
        // Lists of events are never kept.
        let aggregates: Vec<_> = queries.into_iter().filter(|query| !query.is_list).collect();
        let tagged = runtime.block_on(tagged(&server, &aggregates))?;
        for (name, requests, bound) in [
            ("as they are", plain(&aggregates), Some(40_000.0)),
            ("as gzip", gzip(&aggregates), Some(40_000.0)),
            ("known to the client (304)", tagged, None),
            ("of seven rows", plain(&[mix::small()]), None),
        ] {
            kept(
                context,
                &server,
                (name, bound),
                &requests,
                seconds,
                &mut outcome,
            )?;
        }
        Ok(outcome)
    }
}

/// Uncached, beside pgbench in a mode.
fn against(mode: Mode, version: &str, pairs: Vec<Pair>, outcome: &mut Outcome) {
    let ratio = |pair: &Pair| pair.ours.values["p50_ms"] / pair.peer.values["p50_ms"];
    outcome.bounds.push(Bound {
        name: format!("p50 of the query API / p50 of pgbench, {}", mode.name()),
        values: pairs.iter().map(ratio).collect(),
        bound: 1.3,
        at_least: false,
    });
    outcome.comparisons.push(Comparison {
        name: format!("uncached, {}", mode.name()),
        ours: "the query API, CACHE_TTL_SECONDS=0".to_owned(),
        peer: format!("{version}, protocol {}", mode.name()),
        unit: "queries".to_owned(),
        goal: Goal::None,
        pairs,
        commands: vec!["bench --only queries".to_owned()],
    });
}

/// Answers that are kept: as often as there are pairs, after one run that fills the cache.
fn kept(
    context: &Context,
    server: &Server,
    (name, bound): (&str, Option<f64>),
    requests: &[Request],
    seconds: f64,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for number in 0..=context.options.pairs {
        let run = load(context, server, requests, seconds)?;
        context.say(format!(
            "queries: kept, {name}, {number}: {:.0}/s, {:.1} us of processor, {:?}",
            run.rate(),
            run.cpu_micros_per_event(),
            run.values
        ));
        if number > 0 {
            runs.push(run);
        }
    }
    if let Some(bound) = bound {
        outcome.bounds.push(Bound {
            name: format!("kept answers a second, {name}"),
            values: runs.iter().map(Run::rate).collect(),
            bound,
            at_least: true,
        });
    }
    let spread = |of: &dyn Fn(&Run) -> f64| -> Spread { runs.iter().map(of).collect() };
    outcome.notes.push(format!(
        "Kept answers, {name}: {} a second; p50 {} ms, p95 {} ms, p99 {} ms; {} kB each; {} µs of \
         the query API's processor, {} µs of the load's.",
        spread(&Run::rate),
        spread(&|run| run.values["p50_ms"]),
        spread(&|run| run.values["p95_ms"]),
        spread(&|run| run.values["p99_ms"]),
        spread(&|run| run.values["kb_an_answer"]),
        spread(&Run::cpu_micros_per_event),
        spread(&|run| run.values["load_us"]),
    ));
    Ok(())
}

/// Requests of somebody who takes answers as they are.
fn plain(queries: &[Query]) -> Vec<Request> {
    queries
        .iter()
        .map(|query| request(query, &[], 200))
        .collect()
}

/// As a browser asks.
fn gzip(queries: &[Query]) -> Vec<Request> {
    let accepted = [("accept-encoding", "gzip, deflate, br, zstd")];
    let request = |query| request(query, &accepted, 200);
    queries.iter().map(request).collect()
}

/// Of somebody who has the answers.
async fn tagged(server: &Server, queries: &[Query]) -> anyhow::Result<Vec<Request>> {
    let mut requests = Vec::new();
    for query in queries {
        let tag = server.tag(&query.path).await?;
        requests.push(request(query, &[("if-none-match", &tag)], 304));
    }
    Ok(requests)
}

fn request(query: &Query, headers: &[(&str, &str)], status: u16) -> Request {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Request {
        path: query.path.clone(),
        headers: headers.iter().map(owned).collect(),
        status,
    }
}

fn told(queries: &[Query], rows: &[i64]) -> String {
    let each = queries.iter().zip(rows);
    let each = each.map(|(query, rows)| format!("{}: {rows} rows", query.name));
    each.collect::<Vec<_>>().join(", ")
}

/// A run of the load in a worker, on its core.
fn load(
    context: &Context,
    server: &Server,
    requests: &[Request],
    seconds: f64,
) -> anyhow::Result<Run> {
    let plan = server.plan(requests.to_vec(), CLIENTS, seconds);
    let command = context.planned_worker(Some(&context.cores.load), "http-load", &plan)?;
    let clock = server.clock();
    let mut run = context.measure(command, Duration::from_secs(300))?;
    // Processor time is the server's; that of the load is no cost of an answer.
    let of_load = run.cpu_micros_per_event();
    run.values.insert("load_us".to_owned(), of_load);
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
        for sql in [query.count(), query.told()] {
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
