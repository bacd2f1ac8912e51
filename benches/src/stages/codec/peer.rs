//! serde_avro_fast as its documentation advises: a plain struct, buffers used again.

use schemas::{Event, EventKind, codec::event_schema, event::Status};
use serde::{Deserialize, Serialize};
use serde_avro_fast::{Schema, ser::SerializerConfig};
use uuid::Uuid;

/// A command with nothing but types of the standard library and `Uuid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Command {
    event_id: Uuid,
    organization_id: Uuid,
    timestamp: i64,
    user_id: Uuid,
    team_id: Option<Uuid>,
    project_id: Option<Uuid>,
    command_name: String,
    execution_time_ms: i64,
    status: Ending,
    command_args: Option<String>,
    error_message: Option<String>,
    context: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ending {
    Success,
    Error,
    Timeout,
    Cancelled,
}

impl From<&Event> for Command {
    fn from(event: &Event) -> Self {
        let Event::CommandExecution(e) = event else {
            panic!("the workload has commands only");
        };
        Self {
            event_id: e.event_id,
            organization_id: e.organization_id,
            timestamp: e.timestamp.micros(),
            user_id: e.user_id,
            team_id: e.team_id,
            project_id: e.project_id,
            command_name: e.command_name.clone(),
            execution_time_ms: e.execution_time_ms,
            status: match e.status {
                Status::Success => Ending::Success,
                Status::Error => Ending::Error,
                Status::Timeout => Ending::Timeout,
                Status::Cancelled => Ending::Cancelled,
            },
            command_args: e.command_args.as_ref().map(|o| o.as_str().to_owned()),
            error_message: e.error_message.clone(),
            context: e.context.as_ref().map(|o| o.as_str().to_owned()),
        }
    }
}

/// The schema, parsed once.
#[derive(Debug)]
pub(super) struct Peer(Schema);

impl Peer {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(event_schema(EventKind::CommandExecution).parse()?))
    }

    pub(super) fn encoder(&self) -> Encoder<'_> {
        Encoder {
            config: SerializerConfig::new(&self.0),
            buffer: Vec::new(),
        }
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> anyhow::Result<Command> {
        Ok(serde_avro_fast::from_datum_slice(bytes, &self.0)?)
    }
}

/// What is used again for the next event.
pub(super) struct Encoder<'s> {
    config: SerializerConfig<'s>,
    buffer: Vec<u8>,
}

impl Encoder<'_> {
    pub(super) fn encode(&mut self, command: &Command) -> anyhow::Result<&[u8]> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        self.buffer = serde_avro_fast::to_datum(command, buffer, &mut self.config)?;
        Ok(&self.buffer)
    }
}
