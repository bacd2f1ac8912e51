//! Services of the product as processes of their own, with a database and topics of their own.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use platform::{
    config::{Env, JwtConfig},
    test_support::{TestDatabase, TestTopics, kafka},
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use uuid::Uuid;

use super::{
    Context,
    context::on,
    instance::{Instance, built},
    process::CpuClock,
    token,
};

/// Of this run; nobody else can reach the services but by this machine.
const SECRET: &str = "a secret of the benchmark, of no worth elsewhere";
/// For a service to become ready, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A migrated database, and topics; both go with this value.
pub struct Installation {
    /// The database.
    pub database: TestDatabase,
    topics: TestTopics,
}

impl Installation {
    /// Makes one: `flowmeter migrate`.
    ///
    /// # Errors
    /// If it fails.
    pub async fn new() -> anyhow::Result<Self> {
        let new = Self {
            database: TestDatabase::create_empty().await,
            topics: TestTopics::new(),
        };
        new.run("flowmeter", &["migrate"])?;
        Ok(new)
    }

    /// A name of its own, such as that of a topic.
    pub fn name(&self, name: &str) -> String {
        self.topics.name(name)
    }

    /// A topic of its own.
    pub async fn topic(&self, name: &str, partitions: i32) -> String {
        self.topics.create(name, partitions).await
    }

    /// What the names of the product's topics begin with.
    pub fn prefix(&self) -> &str {
        self.topics.prefix()
    }

    /// How many records the topic's partitions have ever had, markers of transactions among them.
    ///
    /// # Errors
    /// If Kafka does not say.
    pub fn records(&self, topic: &str) -> anyhow::Result<u64> {
        let consumer: BaseConsumer = kafka().base().create()?;
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        let topics = metadata.topics().iter();
        let mut records = 0;
        for partition in topics.flat_map(|topic| topic.partitions()) {
            let (_, end) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            records += u64::try_from(end)?;
        }
        Ok(records)
    }

    /// A token of an administrator of an organization.
    ///
    /// # Errors
    /// Never, unless the settings of tokens change.
    pub fn token(&self, organization: Uuid) -> anyhow::Result<String> {
        let mut env = Env::from_pairs([("JWT_SECRET", SECRET)]);
        let jwt = JwtConfig::from_env(&mut env);
        env.finish()?;
        token::of_admin(&jwt, organization)
    }

    /// Runs one of our programs to its end.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.configured(Command::new(built(program)?));
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program}: {errors}");
        Ok(())
    }

    /// Starts a service, on `cores` or on all; `settings` come after our own.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        &self,
        context: &Context,
        cores: Option<&str>,
        name: &str,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Service> {
        let mut command = on(cores, &built("flowmeter")?);
        let (port, admin) = (free_port()?, free_port()?);
        command.arg(name);
        let mut command = self.configured(command);
        command
            .env("ADMIN_PORT", admin.to_string())
            .envs(settings.iter().map(|(name, value)| (name, value)));
        // In one process, everything is on one port.
        let operators = if name == "serve" { port } else { admin };
        spawn(context, name, command, port, operators)
    }

    /// Starts a program that a service is measured against: it has our variables, listens at
    /// the port in `PORT`, and answers `GET /health/ready` with 200 when it is ready.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_peer(
        &self,
        context: &Context,
        name: &str,
        command: Command,
    ) -> anyhow::Result<Service> {
        let port = free_port()?;
        spawn(context, name, self.configured(command), port, port)
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
}

/// A running service; it ends with this value.
#[derive(Debug)]
pub struct Service {
    process: Instance,
    address: String,
    operators: String,
}

impl Service {
    /// Host and port of its users.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its processor time and memory from now on.
    pub fn clock(&self) -> CpuClock {
        self.process.clock()
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready in time.
    pub fn until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let path = match self.process.name() {
            "serve" => "/api/metrics/health/ready",
            _ => "/health/ready",
        };
        // Not all servers answer 1.0 with 1.0.
        let is_ready = |answer: String| answer.split(' ').nth(1) == Some("200");
        while !get(&self.operators, path).is_ok_and(is_ready) {
            self.must_run()?;
            ensure!(
                began.elapsed() < PATIENCE,
                "{} is not ready",
                self.process.name()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The sum of a metric over all of its labels; 0 if there is none of that name.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = get(&self.operators, "/metrics")?;
        let lines = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = rest.rsplit_once(' ')?.1;
            rest.starts_with(['{', ' '])
                .then(|| value.parse::<f64>().ok())?
        });
        Ok(lines.sum())
    }

    /// That it has not ended.
    ///
    /// # Errors
    /// If it has.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it takes too long, or ends with an error.
    pub fn end(self) -> anyhow::Result<()> {
        self.process.stop()
    }
}

/// Starts a program that listens at a port; operators ask it at another, or the same.
fn spawn(
    context: &Context,
    name: &str,
    mut command: Command,
    port: u16,
    operators: u16,
) -> anyhow::Result<Service> {
    let log = context.scratch.join(format!("{name}.log"));
    command.env("PORT", port.to_string());
    let address = |port| format!("127.0.0.1:{port}");
    Ok(Service {
        process: Instance::start(name, command, &log)?,
        address: address(port),
        operators: address(operators),
    })
}

/// The whole answer, head and body, of a small request.
fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // An answer in 1.0 has no chunks and ends with its connection.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    Ok(std::io::read_to_string(stream)?)
}

/// One that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
