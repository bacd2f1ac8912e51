//! A year in a database of its own, and a query API over it.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use platform::{
    auth::{Identity, Role, issue},
    config::{Env, JwtConfig},
    database,
    test_support::{TestDatabase, TestTopics},
};
use uuid::Uuid;

use super::mix;
use crate::harness::{Context, http_load, pinned, process::CpuClock};

/// Of this run; nobody else can reach the server but by this machine.
const SECRET: &str = "a secret of the benchmark, of no worth elsewhere";
const PATIENCE: Duration = Duration::from_secs(60);

/// A migrated database with a year in it, and topics; both go with this value.
pub(super) struct Year {
    pub(super) database: TestDatabase,
    topics: TestTopics,
}

impl Year {
    /// Generates one.
    pub(super) async fn load(context: &Context) -> anyhow::Result<Self> {
        let year = Self {
            database: TestDatabase::create_empty().await,
            topics: TestTopics::new(),
        };
        let (users, days) = context.choose(("100", "60"), ("500", "365"));
        finish(year.command("flowmeter")?.arg("migrate"))?;
        context.say(format!(
            "queries: {days} days of {users} users are generated"
        ));
        let raw_days = context.choose("30", "90");
        let arguments = ["--users", users, "--days", days, "--raw-days", raw_days];
        finish(
            year.command("year")?
                .args(arguments)
                .args(["--until", mix::UNTIL]),
        )?;
        // As the sink does: an organization without a version has no answers that can be kept.
        let pool = year.database.pool(database::Role::Owner).await;
        sqlx::query("select flowmeter.raise_versions(array[$1])")
            .bind(mix::ORGANIZATION)
            .execute(&pool)
            .await?;
        sqlx::query("vacuum analyze").execute(&pool).await?;
        Ok(year)
    }

    /// One of our programs, with the addresses and names of this value.
    fn command(&self, program: &str) -> anyhow::Result<Command> {
        Ok(self.configured(Command::new(sibling(program)?)))
    }

    fn configured(&self, mut command: Command) -> Command {
        command
            .env("DATABASE_URL", self.database.url_text())
            .env("KAFKA_TOPIC_PREFIX", self.topics.prefix())
            .env("KAFKA_GROUP_PREFIX", self.topics.prefix())
            .env("JWT_SECRET", SECRET)
            .env("RATE_LIMIT_MAX_REQUESTS", "0")
            .env("LOG_LEVEL", "warn");
        command
    }

    /// Starts a query API on the servers' cores, with as many connections to the database as
    /// there are clients.
    pub(super) fn serve(&self, context: &Context, keep: bool) -> anyhow::Result<Server> {
        let (port, admin) = (free_port()?, free_port()?);
        let mut command = pinned(&context.cores.server, &sibling("flowmeter")?);
        command.arg("query");
        let mut command = self.configured(command);
        command
            .env("PORT", port.to_string())
            .env("ADMIN_PORT", admin.to_string())
            .env("DB_POOL_SIZE", super::CLIENTS.to_string())
            .env("CACHE_TTL_SECONDS", if keep { "300" } else { "0" })
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(
                context.scratch.join("query-api.log"),
            )?);
        let mut server = Server {
            child: command.spawn().context("the query API cannot be started")?,
            address: format!("127.0.0.1:{port}"),
            token: token()?,
        };
        server.until_ready()?;
        Ok(server)
    }
}

/// A running query API; it ends with this value.
pub(super) struct Server {
    child: Child,
    address: String,
    token: String,
}

impl Server {
    fn until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while http_load::run(&self.plan(vec!["/api/metrics/health/ready".to_owned()], 1, 0.01))
            .is_err()
        {
            if let Some(status) = self.child.try_wait()? {
                bail!("the query API ended: {status}; query-api.log says why");
            }
            ensure!(began.elapsed() < PATIENCE, "the query API is not ready");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// A load of these paths.
    pub(super) fn plan(&self, paths: Vec<String>, clients: usize, seconds: f64) -> http_load::Plan {
        http_load::Plan {
            address: self.address.clone(),
            paths,
            token: self.token.clone(),
            connections: clients,
            seconds,
        }
    }

    /// Its processor time from now on.
    pub(super) fn clock(&self) -> CpuClock {
        CpuClock::of(self.child.id())
    }

    /// The answer to a path, as JSON.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}{path}", self.address);
        let answer = http.get(url).bearer_auth(&self.token).send().await?;
        let answer = answer.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that was built with this one.
fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{name} is not built; make bench builds it");
    Ok(path)
}

fn finish(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{:?}: {errors}",
        command.get_program()
    );
    Ok(())
}

/// One that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn token() -> anyhow::Result<String> {
    let mut env = Env::from_pairs([("JWT_SECRET", SECRET)]);
    let jwt = JwtConfig::from_env(&mut env);
    env.finish()?;
    let identity = Identity {
        user_id: Uuid::new_v4(),
        organization_id: mix::ORGANIZATION,
        role: Role::Admin,
        team_ids: None,
    };
    issue(&jwt, &identity, Duration::from_secs(86_400))
}
