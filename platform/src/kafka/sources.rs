//! Headers that say where an admitted event came from, and how old what a delta sums up is.

use rdkafka::Message;
use rdkafka::message::Headers;
use schemas::source::MalformedSource;
use schemas::{Source, Timestamp};

/// The header of a record of rollup deltas with the log time of the oldest event that was
/// published together with it, in milliseconds since 1970.
pub const OLDEST_HEADER: &str = "flowmeter.oldest-log-time";

/// The headers of an admitted event: the record's own, then where it was. One of that name
/// that a producer wrote itself is left out.
pub fn headers<'a>(record: &'a impl Message, source: &'a str) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let own = record.headers().into_iter().flat_map(Headers::iter);
    own.filter(|header| header.key != Source::HEADER)
        .map(|header| (header.key, header.value))
        .chain([(Source::HEADER, Some(source.as_bytes()))])
        .collect()
}

/// Where an admitted event came from.
///
/// # Errors
/// When its header is missing or malformed.
pub fn source_of(record: &impl Message) -> Result<Source, MalformedSource> {
    let mut all = record.headers().into_iter().flat_map(Headers::iter);
    let header = all.find(|header| header.key == Source::HEADER);
    Source::from_header(header.and_then(|header| header.value))
}

/// What [`OLDEST_HEADER`] says, if it says anything: older aggregators do not write it.
pub fn oldest_of(header: Option<&[u8]>) -> Option<Timestamp> {
    let millis = std::str::from_utf8(header?).ok()?.parse().ok()?;
    Timestamp::from_millis(millis).ok()
}
