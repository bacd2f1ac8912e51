//! Putting a refused record, whole, into an envelope of headers.

use rdkafka::Message;
use rdkafka::message::{Header, Headers};
use schemas::dead_letter::{DeadLetter, MalformedEnvelope, Replayed};

use super::admission::{Refusal, log_time};

/// The largest record that becomes a dead letter whole, in bytes of its key, value and own
/// headers. What a producer sends uncompressed is smaller, since a topic of events takes a
/// mebibyte. Compressed, a record may be a thousand times that, and no topic of ours would take
/// it as it is: it would hold up its partition for ever.
pub const LARGEST_WHOLE: usize = (1 << 20) + (64 << 10);
/// How much is kept of a larger record's value, and of its key; and how large its own headers
/// may be to be kept.
const KEPT_OF_VALUE: usize = 64 << 10;
const KEPT_OF_KEY: usize = 4 << 10;
const KEPT_HEADERS: usize = 64 << 10;
/// The header of a dead letter that is not whole: how many bytes the record has.
pub const CUT: &str = "flowmeter.dead-letter.cut";

/// A dead letter, to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter<'a> {
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value.
    pub value: Option<&'a [u8]>,
    envelope: Vec<(&'static str, String)>,
    with_headers: bool,
}

/// The dead letter of `record`, refused at `stage`: whole, or cut if it is larger than
/// [`LARGEST_WHOLE`].
pub fn letter<'a>(record: &'a impl Message, refusal: &Refusal, stage: &str) -> Letter<'a> {
    let mut envelope = envelope(record, refusal, stage);
    let bytes = size(record);
    let whole = bytes <= LARGEST_WHOLE;
    if !whole {
        envelope.message = format!(
            "{}; the record has {bytes} bytes and is cut here, and whole at its source",
            envelope.message
        );
    }
    let mut envelope = envelope.headers();
    if !whole {
        envelope.push((CUT, bytes.to_string()));
    }
    let kept = |bytes: &'a [u8], most: usize| {
        if whole {
            bytes
        } else {
            &bytes[..bytes.len().min(most)]
        }
    };
    Letter {
        key: record.key().map(|key| kept(key, KEPT_OF_KEY)),
        value: record.payload().map(|value| kept(value, KEPT_OF_VALUE)),
        envelope,
        with_headers: whole || headers_size(record) <= KEPT_HEADERS,
    }
}

impl Letter<'_> {
    /// Its headers: those of `record` itself, if they are kept, and the envelope's.
    pub fn headers<'a>(&'a self, record: &'a impl Message) -> Vec<(&'a str, Option<&'a [u8]>)> {
        let own = own_headers(record).filter(|_| self.with_headers);
        let envelope = self.envelope.iter();
        own.map(|header| (header.key, header.value))
            .chain(envelope.map(|(name, value)| (*name, Some(value.as_bytes()))))
            .collect()
    }
}

fn size(record: &impl Message) -> usize {
    let parts = [record.key(), record.payload()];
    let parts = parts.into_iter().flatten().map(<[u8]>::len);
    parts.sum::<usize>() + headers_size(record)
}

fn headers_size(record: &impl Message) -> usize {
    let size = |h: Header<'_, &[u8]>| h.key.len() + h.value.map_or(0, <[u8]>::len);
    own_headers(record).map(size).sum()
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

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::{OwnedHeaders, OwnedMessage};
    use schemas::dead_letter::Reason;

    use super::*;

    fn record(value: usize) -> OwnedMessage {
        let header = Header {
            key: "own",
            value: Some(&b"header"[..]),
        };
        let headers = OwnedHeaders::new().insert(header);
        let time = Timestamp::LogAppendTime(1);
        let (value, key) = (Some(vec![7; value]), Some(vec![8; 10_000]));
        OwnedMessage::new(value, key, "t".to_owned(), time, 0, 0, Some(headers))
    }

    #[test]
    fn a_letter_is_whole_up_to_a_size_and_says_when_it_is_cut() {
        let refusal = Refusal::new(Reason::BadFraming, "no");
        let of = |record: &OwnedMessage| {
            let letter = letter(record, &refusal, "test");
            let headers = letter.headers(record);
            let find = |name: &str| headers.iter().find(|(key, _)| *key == name);
            let own = find("own").is_some();
            let cut = find(CUT).and_then(|(_, value)| *value).map(<[u8]>::to_vec);
            let sizes = (letter.key.unwrap().len(), letter.value.unwrap().len());
            (sizes, own, cut.map(|cut| String::from_utf8(cut).unwrap()))
        };
        let most = LARGEST_WHOLE - 10_000 - "ownheader".len();
        assert_eq!(of(&record(most)), ((10_000, most), true, None));
        let bytes = Some((LARGEST_WHOLE + 1).to_string());
        let cut = ((KEPT_OF_KEY, KEPT_OF_VALUE), true, bytes);
        assert_eq!(of(&record(most + 1)), cut);
    }
}
