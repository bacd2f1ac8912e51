//! Putting a refused record, whole, into an envelope of headers.

use rdkafka::Message;
use rdkafka::message::Headers;
use schemas::Timestamp;
use schemas::dead_letter::DeadLetter;

use super::admission::Refusal;

/// The headers of a dead letter: the record's own, then the envelope's.
pub fn headers<'a>(
    record: &'a impl Message,
    envelope: &'a [(&'static str, String)],
) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let own = record.headers().into_iter().flat_map(|headers| {
        headers
            .iter()
            .filter(|h| !DeadLetter::is_envelope_header(h.key))
            .map(|h| (h.key, h.value))
    });
    let envelope = envelope
        .iter()
        .map(|(name, value)| (*name, Some(value.as_bytes())));
    own.chain(envelope).collect()
}

/// The envelope of `record`, refused at `stage`.
pub fn envelope(record: &impl Message, refusal: &Refusal, stage: &str) -> DeadLetter {
    let log_time = record.timestamp().to_millis().unwrap_or(0);
    DeadLetter {
        source_topic: record.topic().to_owned(),
        source_partition: record.partition(),
        source_offset: record.offset(),
        reason: refusal.reason.as_str().to_owned(),
        message: refusal.message.clone(),
        stage: stage.to_owned(),
        recorded_at: Timestamp::from_millis(log_time).unwrap_or(Timestamp::MIN),
    }
}
