//! The command line.

use aggregator::AggregatorConfig;
use clap::{Parser, Subcommand};
use ingest_gateway::GatewayConfig;
use platform::config::{Env, KafkaConfig, LogConfig, deprecated_variables};
use platform::lifecycle::Shutdown;
use platform::telemetry::logs;
use sink::SinkConfig;

use crate::jobs::{self, JobsCommand, JobsSettings};
use crate::service::{HttpService, Worker};
use crate::{dead_letters, erase, health, load, migrate, rebuild, serve, service, token};

const AFTER_HELP: &str = "\
Services are configured by environment variables, of which these are needed:
  KAFKA_BROKERS         host:port, separated by commas
  SCHEMA_REGISTRY_URL   Confluent's REST API
  DATABASE_URL          postgres://user@host:port/database; the gateway alone can do without
  JWT_SECRET            at least 32 bytes; or JWT_JWKS_URL
docs/CONFIGURATION.md lists all of them. Everything wrong with them is reported at once.";

/// Measures AI-assisted development: events in, numbers that add up out.
#[derive(Debug, Parser)]
#[command(name = "flowmeter", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process, on one port
    Serve,
    /// Run the ingest gateway: HTTP to Kafka
    Gateway,
    /// Run the aggregator: events to rollup deltas
    Aggregator,
    /// Run the sink: Kafka to TimescaleDB
    Sink,
    /// Run the query API
    Query,
    /// Run the jobs on schedule, or one by hand: retention, reconciliation, health and others
    Jobs(jobs::JobsArgs),
    /// Create topics, schemas and tables, or bring them up to date
    Migrate,
    /// Print a token to call the HTTP services with
    Token(token::TokenArgs),
    /// Recompute rollups from the raw rows, while everything runs
    Rebuild(rebuild::RebuildArgs),
    /// Erase a user: raw rows, rollups of the user, dead letters
    Erase(erase::EraseArgs),
    /// Send a stream of generated events and report how it went
    Load(load::LoadArgs),
    /// Look at refused records, and send them again
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Ask a running service for its health; fails unless it is healthy
    Health(health::HealthArgs),
}

/// Runs one command to its end.
///
/// # Errors
/// What a person should read.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Token(args) => token::run(&args),
        Command::Load(args) => load::run(args).await,
        Command::Health(args) => health::run(&args).await,
        Command::Rebuild(args) => rebuild::run(&args, &configured(SinkConfig::from_env)?).await,
        Command::Erase(args) => {
            let config = configured(erase::EraseConfig::from_env)?;
            erase::run(&args, &config).await
        }
        Command::DeadLetters(args) => {
            let kafka = configured(KafkaConfig::from_env)?;
            dead_letters::run(args, &kafka).await
        }
        Command::Jobs(args) => match args.command {
            None => {
                let read = |env: &mut Env| Worker::read(env, JobsSettings::from_env);
                service::jobs(configured(read)?).await
            }
            Some(JobsCommand::List) => jobs::list(&configured(JobsSettings::from_env)?).await,
            Some(JobsCommand::Run { name }) => {
                jobs::run_by_hand(&name, &configured(JobsSettings::from_env)?).await
            }
        },
        Command::Migrate => {
            let config = configured(migrate::MigrateConfig::from_env)?;
            migrate::run(&config).await
        }
        Command::Serve => {
            let config = configured(serve::ServeConfig::from_env)?;
            serve::run(config, Shutdown::on_signals()?).await
        }
        Command::Gateway => {
            let read = |env: &mut Env| HttpService::read(env, GatewayConfig::from_env);
            service::gateway(configured(read)?).await
        }
        Command::Query => {
            let read = |env: &mut Env| HttpService::read(env, service::QuerySettings::from_env);
            service::query(configured(read)?).await
        }
        Command::Aggregator => {
            let read = |env: &mut Env| Worker::read(env, AggregatorConfig::from_env);
            service::aggregator(configured(read)?).await
        }
        Command::Sink => {
            let read = |env: &mut Env| Worker::read(env, SinkConfig::from_env);
            service::sink(configured(read)?).await
        }
    }
}

/// Reads a configuration with every fault in one error, and starts the log.
fn configured<C>(read: impl FnOnce(&mut Env) -> C) -> anyhow::Result<C> {
    let mut env = Env::from_process();
    let log = LogConfig::from_env(&mut env);
    let config = read(&mut env);
    let deprecated = deprecated_variables(&mut env);
    env.finish()?;
    logs::init(&log)?;
    for warning in deprecated {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
