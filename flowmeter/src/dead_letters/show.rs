//! `flowmeter dead-letters show`.

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use platform::config::KafkaConfig;
use platform::kafka::log_reader::LogRecord;
use platform::kafka::registry::{RegistryClient, SchemaRef, split};
use platform::lifecycle::Shutdown;
use schemas::codec::{WriterSchema, decode_json};
use schemas::dead_letter::{DeadLetter, Position, organization_of};
use serde_json::{Value, json};

use super::ledger::{Entry, client_of, entry};
use super::print::{hex, plain};
use super::{Log, scan};

/// Arguments of `flowmeter dead-letters show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Where the record was refused, as list prints it
    #[arg(value_name = "TOPIC/PARTITION/OFFSET")]
    pub position: Position,
    /// Print one object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// A dead letter, whole.
#[derive(Debug)]
pub struct Shown {
    /// What its envelope says.
    pub letter: DeadLetter,
    /// When it was replayed, if it was.
    pub replayed_at: Option<schemas::Timestamp>,
    /// Its record.
    pub record: LogRecord,
    /// Its value, or why it cannot be decoded.
    pub value: Result<Value, String>,
}

/// Looks for the newest letter of a record; `None` if there is none.
///
/// # Errors
/// When the topic cannot be read.
pub async fn show(
    kafka: &KafkaConfig,
    args: &ShowArgs,
    progress: &ProgressBar,
) -> anyhow::Result<Option<Shown>> {
    let registry = RegistryClient::connect(kafka)
        .map_err(anyhow::Error::msg)
        .context("SCHEMA_REGISTRY_URL")?;
    let (log, progress, position) = (Log::of(kafka), progress.clone(), args.position.clone());
    let read = move || find(&log, &position, &progress);
    let Some((letter, record, replayed_at)) = tokio::task::spawn_blocking(read).await?? else {
        return Ok(None);
    };
    let value = decode(&registry, &record).await;
    Ok(Some(Shown {
        letter,
        replayed_at,
        record,
        value,
    }))
}

type Found = (DeadLetter, LogRecord, Option<schemas::Timestamp>);

fn find(log: &Log, position: &Position, progress: &ProgressBar) -> anyhow::Result<Option<Found>> {
    let mut found: Option<Found> = None;
    let take = |record: LogRecord| match entry(&log.topic, &record) {
        Entry::Letter(letter) if letter.source() == *position => {
            found = Some((letter, record, None));
        }
        Entry::Letter(_) => {}
        Entry::Marker(marker) => {
            let place = (record.partition, marker.letter_offset);
            if let Some((_, letter, replayed_at)) = &mut found
                && (letter.partition, letter.offset) == place
            {
                replayed_at.get_or_insert(record.log_time);
            }
        }
    };
    scan::each(log, None, progress, &Shutdown::new(), take)?;
    Ok(found)
}

async fn decode(registry: &RegistryClient, record: &LogRecord) -> Result<Value, String> {
    let parts = record.parts();
    let value = parts.value.ok_or("the record has no value")?;
    let (reference, avro) = split(value, parts.schema_header).map_err(|error| error.to_string())?;
    let text = match reference {
        SchemaRef::Id(id) => registry.schema_by_id(id).await,
        SchemaRef::Guid(guid) => registry.schema_by_guid(guid).await,
    };
    let schema = WriterSchema::parse(&text.map_err(|error| error.to_string())?)?;
    decode_json(&schema, avro).map_err(|error| error.to_string())
}

/// Text if it is some, or else hexadecimal.
fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex(bytes)),
    }
}

impl Shown {
    fn own_headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let headers = self.record.headers.iter();
        let own = headers.filter(|(name, _)| !DeadLetter::is_envelope_header(name));
        own.map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// What is printed.
    pub(super) fn text(&self, as_json: bool) -> String {
        if as_json {
            format!("{}\n", self.json())
        } else {
            self.lines()
        }
    }

    fn lines(&self) -> String {
        let letter = &self.letter;
        let optional = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let key = self.record.key.as_deref();
        let organization = key.and_then(organization_of).map(|id| id.to_string());
        let mut lines = vec![
            ("source", plain(&letter.source().to_string())),
            ("recorded", letter.recorded_at.to_string()),
            (
                "state",
                self.replayed_at
                    .map_or_else(|| "open".to_owned(), |at| format!("replayed {at}")),
            ),
            ("reason", plain(&letter.reason)),
            ("message", plain(&letter.message)),
            ("stage", plain(&letter.stage)),
            (
                "client",
                optional(client_of(&self.record).map(str::to_owned)),
            ),
            ("organization", optional(organization)),
            ("event", optional(letter.event_id.map(|id| id.to_string()))),
            (
                "dead letter",
                format!("{}/{}", self.record.partition, self.record.offset),
            ),
        ];
        for (name, value) in self.own_headers() {
            let value = value.map_or_else(|| "none".to_owned(), text_or_hex);
            lines.push(("header", format!("{}: {value}", plain(name))));
        }
        lines.push(("key", key.map_or_else(|| "none".to_owned(), text_or_hex)));
        match (&self.value, &self.record.value) {
            (Ok(value), _) => {
                let shown = format!("{value:#}");
                let shown: Vec<_> = shown.lines().map(plain).collect();
                lines.push(("value", shown.join("\n")));
            }
            (Err(why), Some(bytes)) => {
                lines.push(("value", format!("0x{}", hex(bytes))));
                lines.push(("", format!("not decoded: {}", plain(why))));
            }
            (Err(_), None) => lines.push(("value", "none".to_owned())),
        }
        let line = |(name, text): (&str, String)| format!("{name:<13}{text}\n");
        lines.into_iter().map(line).collect()
    }

    fn json(&self) -> Value {
        let letter = &self.letter;
        let text = |bytes: &[u8]| Value::from(text_or_hex(bytes));
        let headers: Vec<_> = self
            .own_headers()
            .map(|(name, value)| json!({ "name": name, "value": value.map(text) }))
            .collect();
        let key = self.record.key.as_deref();
        json!({
            "source": letter.source().to_string(),
            "recorded_at": letter.recorded_at.to_string(),
            "replayed_at": self.replayed_at.map(|at| at.to_string()),
            "reason": letter.reason,
            "message": letter.message,
            "stage": letter.stage,
            "client": client_of(&self.record),
            "organization_id": key.and_then(organization_of),
            "event_id": letter.event_id,
            "partition": self.record.partition,
            "offset": self.record.offset,
            "headers": headers,
            "key": key.map(text),
            "value": self.value.as_ref().ok(),
            "value_hex": self.record.value.as_deref().map(hex),
            "not_decoded": self.value.as_ref().err(),
        })
    }
}
