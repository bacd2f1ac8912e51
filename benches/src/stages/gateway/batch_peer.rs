//! The peers of the batch. Each is a program below `benches/peers`, installed below `.peers` by
//! `scripts/bench-peers`, that serves the call of a batch at `PORT` and writes to the topic whose
//! name is in `TOPIC`.

use super::ours::ORGANIZATION;
use crate::harness::{
    Context, Run,
    event_load::Plan,
    installation::{Installation, Service},
    peers, pinned,
};

/// Partitions of our own topics.
const PARTITIONS: i32 = 4;

/// A service of others.
#[derive(Debug)]
pub(super) struct Peer {
    /// As `scripts/bench-peers` names it.
    pub(super) name: &'static str,
    /// What to run, and its arguments: a program of the machine, or one below `.peers`.
    program: &'static [&'static str],
}

/// All of them.
pub(super) const PEERS: [Peer; 2] = [
    Peer {
        name: "node",
        program: &["node", ".peers/node/server.js"],
    },
    Peer {
        name: "benthos",
        program: &[
            ".peers/benthos/benthos",
            "-c",
            "benches/peers/benthos/pipeline.yaml",
        ],
    },
];

/// One that runs.
pub(super) struct Running {
    name: &'static str,
    pub(super) version: String,
    service: Service,
    topic: String,
}

impl Peer {
    /// Installs it if it is not there and starts it on the servers' cores.
    pub(super) async fn start(
        &self,
        context: &Context,
        installation: &Installation,
    ) -> anyhow::Result<Running> {
        let version = peers::version(context, self.name)?;
        let topic = installation.topic(self.name, PARTITIONS).await;
        let (program, arguments) = self.program.split_first().expect("it has a program");
        let mut command = pinned(&context.cores.server, program.as_ref());
        command
            .args(arguments)
            .current_dir(&context.root)
            .env("NODE_ENV", "production")
            .env("ORGANIZATION", ORGANIZATION.to_string())
            .env("TOPIC", &topic);
        let mut service = installation.start_peer(context, self.name, command)?;
        service.until_ready()?;
        Ok(Running {
            name: self.name,
            version,
            service,
            topic,
        })
    }
}

impl Running {
    /// Host and port.
    pub(super) fn address(&self) -> &str {
        self.service.address()
    }

    /// A run of a load.
    pub(super) fn load(
        &self,
        context: &Context,
        installation: &Installation,
        plan: &Plan,
    ) -> anyhow::Result<Run> {
        let (service, topic) = (&self.service, &self.topic);
        super::load_checked(context, installation, topic, service, self.name, plan)
    }
}
