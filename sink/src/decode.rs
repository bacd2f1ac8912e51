//! What a record means.

use base64::{Engine, prelude::BASE64_STANDARD};
use platform::kafka::{
    admission::{Admission, RecordParts, Refusal, Verdict, log_time},
    dead_letters::{envelope, own_headers, replayed},
    registry::{LookupError, RegistryClient},
    sources::source_of,
};
use rdkafka::{
    Message,
    message::{Headers, OwnedHeaders},
};
use schemas::{
    Event, Source, Topics, Watermarks, client,
    dead_letter::{DeadLetter, Reason, organization_of},
    source::MalformedSource,
};
use serde_json::json;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::{
    SinkConfig,
    batch::{Item, RawEvent},
    letters::EventRecord,
    store::{DeadLetterRow, ReplayedRow, StoreError},
};

/// The stage of the dead letters that are made here.
pub(crate) const STAGE: &str = "sink";

/// Finds out what a record means, on the sink's thread.
#[derive(Clone)]
pub(crate) struct Decoder {
    pub(crate) admission: Admission,
    pub(crate) runtime: Handle,
    pub(crate) topics: Topics,
}

impl Decoder {
    /// With the registry and topics of a configuration, within the runtime.
    pub(crate) fn connect(config: &SinkConfig) -> Result<Self, String> {
        let registry = RegistryClient::connect(&config.kafka)?;
        Ok(Self {
            admission: Admission::again(registry),
            runtime: Handle::current(),
            topics: Topics::new(config.kafka.topic_prefix.as_str()),
        })
    }

    /// What `record` means. Fails when the registry cannot be asked.
    pub(crate) fn decode(&self, record: &impl Message) -> Result<Item, LookupError> {
        let topic = record.topic();
        if topic == self.topics.dead_letters() {
            return Ok(replayed_letter(record)
                .map_or_else(|| Item::DeadLetter(dead_letter(record)), Item::Replayed));
        }
        let item = match watermarks(record) {
            Some(told) => told.map(|told| Item::Watermarks(record.partition(), told)),
            None => {
                self.event(source_of(record), RecordParts::of(record))?
                    .map(|(event, source)| {
                        let record = event_record(record, source);
                        Item::Event(RawEvent { event, record })
                    })
            }
        };
        Ok(item.unwrap_or_else(|refusal| {
            tracing::error!(
                topic,
                partition = record.partition(),
                offset = record.offset(),
                reason = refusal.reason.as_str(),
                message = refusal.message,
                "a record of the aggregator cannot be read; kept as a dead letter"
            );
            Item::DeadLetter(unreadable(record, &refusal))
        }))
    }

    /// An admitted event. It was judged before; reading it again brings its free objects
    /// into the form in which they are stored.
    pub(crate) fn event(
        &self,
        source: Result<Source, MalformedSource>,
        parts: RecordParts<'_>,
    ) -> Result<Result<(Event, Source), Refusal>, LookupError> {
        let source = match source {
            Ok(source) => source,
            Err(error) => return Ok(Err(Refusal::new(Reason::MalformedEnvelope, error))),
        };
        let parts = RecordParts {
            log_time: source.log_time,
            ..parts
        };
        let verdict = self.admission.judge(&self.runtime, source.kind, parts)?;
        Ok(match verdict {
            Verdict::Admitted(event) => Ok((event, source)),
            Verdict::Refused(refusal) => Err(refusal),
        })
    }

    /// The events of records that were decoded before.
    pub(crate) fn again(&self, records: &[EventRecord]) -> Result<Vec<RawEvent>, StoreError> {
        let event = |record: &EventRecord| {
            let original = record.original(&self.topics);
            match self.event(Ok(record.source), RecordParts::of(&original))? {
                Ok((event, _)) => Ok(RawEvent {
                    event,
                    record: record.clone(),
                }),
                Err(refusal) => Err(StoreError::Unreadable {
                    place: record.source,
                    message: refusal.message,
                }),
            }
        };
        records.iter().map(event).collect()
    }
}

/// What the record of an admitted event was in its own topic.
fn event_record(record: &impl Message, source: Source) -> EventRecord {
    let headers = record.headers().into_iter().flat_map(Headers::iter);
    EventRecord {
        source,
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        headers: headers
            .filter(|header| header.key != Source::HEADER)
            .fold(None, |owned, header| {
                Some(owned.unwrap_or_else(OwnedHeaders::new).insert(header))
            }),
    }
}

/// What a record says that holds watermarks and no event.
fn watermarks(record: &impl Message) -> Option<Result<Watermarks, Refusal>> {
    if record.payload().is_some() {
        return None;
    }
    let mut headers = record.headers()?.iter();
    let header = headers.find(|header| header.key == Watermarks::HEADER)?;
    let told = Watermarks::from_header(header.value.unwrap_or_default());
    Some(told.map_err(|error| Refusal::new(Reason::MalformedEnvelope, error)))
}

/// The letter that a marker says was replayed. A malformed marker is a letter, of no envelope.
fn replayed_letter(record: &impl Message) -> Option<ReplayedRow> {
    Some(ReplayedRow {
        marker: replayed(record)?.ok()?,
        partition: record.partition(),
        at: log_time(record),
    })
}

/// The row of a record of the dead letters' topic.
fn dead_letter(record: &impl Message) -> DeadLetterRow {
    let header = |name: &str| {
        let headers = record.headers()?;
        headers.iter().find(|h| h.key == name)?.value
    };
    let letter = DeadLetter::from_headers(header).unwrap_or_else(|error| {
        let refusal = Refusal::new(Reason::MalformedEnvelope, error);
        envelope(record, &refusal, STAGE)
    });
    let organization_id = record.key().and_then(organization_of);
    row(record, letter, organization_id)
}

/// The row of a record of ours that cannot be read. It is no tenant's: the fault is ours.
fn unreadable(record: &impl Message, refusal: &Refusal) -> DeadLetterRow {
    row(record, envelope(record, refusal, STAGE), None)
}

fn row(record: &impl Message, letter: DeadLetter, organization_id: Option<Uuid>) -> DeadLetterRow {
    let headers: Vec<_> = own_headers(record)
        .map(|h| {
            let value = h.value.map(|value| BASE64_STANDARD.encode(value));
            json!({ "name": without_nul(h.key.to_owned()), "value": value })
        })
        .collect();
    let client = own_headers(record).find(|h| h.key == client::HEADER);
    DeadLetterRow {
        client: client.and_then(|h| client::name(h.value?).map(str::to_owned)),
        letter: DeadLetter {
            source_topic: without_nul(letter.source_topic),
            reason: without_nul(letter.reason),
            message: without_nul(letter.message),
            stage: without_nul(letter.stage),
            ..letter
        },
        organization_id,
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        headers: serde_json::Value::from(headers).to_string(),
        partition: record.partition(),
        offset: record.offset(),
    }
}

/// PostgreSQL stores no U+0000, and whoever writes to Kafka may have written one.
fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
    use schemas::Timestamp;

    use super::*;

    const KEY: &str = "00000000-0000-0000-0000-000000000007:me";

    fn record(headers: OwnedHeaders) -> OwnedMessage {
        OwnedMessage::new(
            Some(b"\0value".to_vec()),
            Some(KEY.into()),
            "metrics.dead-letters".into(),
            rdkafka::Timestamp::LogAppendTime(1_700_000_000_000),
            2,
            9,
            Some(headers),
        )
    }

    #[test]
    fn a_dead_letter_keeps_the_record_and_loses_the_envelope() {
        let envelope = DeadLetter {
            source_topic: "metrics.user-sessions".into(),
            source_partition: 1,
            source_offset: 5,
            reason: "invalid".into(),
            message: "nul\0here".into(),
            stage: "aggregator".into(),
            recorded_at: Timestamp::from_millis(3).unwrap(),
            event_id: None,
        };
        let mut headers = OwnedHeaders::new()
            .insert(Header {
                key: "own",
                value: Some(b"\xff"),
            })
            .insert(Header::<&[u8]> {
                key: "empty",
                value: None,
            });
        for (key, value) in &envelope.headers() {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let row = dead_letter(&record(headers));
        assert_eq!(row.letter.message, "nul\u{fffd}here");
        assert_eq!(row.letter.source_offset, 5);
        assert_eq!(row.organization_id, Some(Uuid::from_u128(7)));
        assert_eq!(
            row.headers,
            r#"[{"name":"own","value":"/w=="},{"name":"empty","value":null}]"#
        );
        assert_eq!(row.value.as_deref(), Some(&b"\0value"[..]));
        assert_eq!((row.partition, row.offset), (2, 9));
    }

    #[test]
    fn without_an_envelope_it_is_its_own_source() {
        let row = dead_letter(&record(OwnedHeaders::new()));
        assert_eq!(row.letter.reason, "malformed_envelope");
        assert_eq!(row.letter.source_topic, "metrics.dead-letters");
        assert_eq!(row.letter.recorded_at.micros(), 1_700_000_000_000_000);
        assert_eq!(row.headers, "[]");
    }
}
