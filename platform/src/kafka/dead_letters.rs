//! Putting a refused record, whole, into an envelope of headers.

use rdkafka::Message;
use rdkafka::message::{Header, Headers};
use schemas::dead_letter::{DeadLetter, MalformedEnvelope, Replayed};

use super::admission::{Refusal, log_time};

/// The headers of a dead letter: the record's own, then the envelope's.
pub fn headers<'a>(
    record: &'a impl Message,
    envelope: &'a [(&'static str, String)],
) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let own = own_headers(record).map(|h| (h.key, h.value));
    let envelope = envelope
        .iter()
        .map(|(name, value)| (*name, Some(value.as_bytes())));
    own.chain(envelope).collect()
}

/// The record's own headers, without those of an envelope.
pub fn own_headers(record: &impl Message) -> impl Iterator<Item = Header<'_, &[u8]>> {
    let all = record.headers().into_iter().flat_map(Headers::iter);
    all.filter(|h| !DeadLetter::is_envelope_header(h.key))
}

/// The envelope of `record`, refused at `stage`.
pub fn envelope(record: &impl Message, refusal: &Refusal, stage: &str) -> DeadLetter {
    DeadLetter {
        source_topic: record.topic().to_owned(),
        source_partition: record.partition(),
        source_offset: record.offset(),
        reason: refusal.reason.as_str().to_owned(),
        message: refusal.message.clone(),
        stage: stage.to_owned(),
        recorded_at: log_time(record),
        event_id: refusal.event_id,
    }
}

/// What a marker among the dead letters says; `None` if the record is no marker.
pub fn replayed(record: &impl Message) -> Option<Result<Replayed, MalformedEnvelope>> {
    Replayed::from_headers(|name| {
        let headers = record.headers()?;
        headers.iter().find(|h| h.key == name)?.value
    })
}
