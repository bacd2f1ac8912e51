//! Records of the open transaction that librdkafka does not have yet.

use std::ops::Range;

use rdkafka::message::OwnedHeaders;

/// Records, and where each goes, with their bytes side by side.
#[derive(Default)]
pub(super) struct Held {
    records: Vec<HeldRecord>,
    topics: Vec<String>,
    bytes: Vec<u8>,
}

struct HeldRecord {
    /// Of `topics`.
    topic: usize,
    partition: Option<i32>,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    headers: Option<OwnedHeaders>,
}

/// A record as it is handed over.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) headers: Option<OwnedHeaders>,
}

impl Held {
    pub(super) fn push(&mut self, record: Outgoing<'_>) {
        let known = self.topics.iter().position(|topic| topic == record.topic);
        let topic = known.unwrap_or_else(|| {
            self.topics.push(record.topic.to_owned());
            self.topics.len() - 1
        });
        let (key, payload) = (self.copy(record.key), self.copy(record.payload));
        self.records.push(HeldRecord {
            topic,
            partition: record.partition,
            key,
            payload,
            headers: record.headers,
        });
    }

    fn copy(&mut self, text: Option<&[u8]>) -> Option<Range<usize>> {
        text.map(|text| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(text);
            start..self.bytes.len()
        })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All in their order, to the first that is not taken. None is held afterwards.
    pub(super) fn hand_over<E>(
        &mut self,
        mut take: impl FnMut(Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (topics, bytes) = (&self.topics, &self.bytes);
        let of = |range: Option<Range<usize>>| range.map(|range| &bytes[range]);
        let taken = self.records.drain(..).try_for_each(|record| {
            take(Outgoing {
                topic: &topics[record.topic],
                partition: record.partition,
                key: of(record.key),
                payload: of(record.payload),
                headers: record.headers,
            })
        });
        self.bytes.clear();
        taken
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(topic: &'a str, key: &'a [u8], payload: Option<&'a [u8]>) -> Outgoing<'a> {
        Outgoing {
            topic,
            partition: None,
            key: Some(key),
            payload,
            headers: None,
        }
    }

    #[test]
    fn records_come_out_whole_in_their_order_and_once() {
        let mut held = Held::default();
        held.push(record("a", b"k", Some(b"one")));
        held.push(record("b", b"", None));
        held.push(record("a", b"kk", Some(b"three")));
        assert_eq!((held.len(), held.bytes()), (3, 11));
        let mut out = Vec::new();
        let taken: Result<(), ()> = held.hand_over(|r| {
            out.push((
                r.topic.to_owned(),
                r.key.map(Vec::from),
                r.payload.map(Vec::from),
            ));
            Ok(())
        });
        taken.unwrap();
        let of = |topic: &str, key: &[u8], payload: Option<&[u8]>| {
            (topic.to_owned(), Some(key.to_vec()), payload.map(Vec::from))
        };
        let all = [
            of("a", b"k", Some(b"one")),
            of("b", b"", None),
            of("a", b"kk", Some(b"three")),
        ];
        assert_eq!(out, all);
        assert_eq!((held.len(), held.bytes()), (0, 0));
    }

    #[test]
    fn after_one_that_is_not_taken_none_is_held() {
        let mut held = Held::default();
        held.push(record("a", b"1", None));
        held.push(record("a", b"2", None));
        let mut tried = 0;
        let taken = held.hand_over(|_| {
            tried += 1;
            Err("full")
        });
        assert_eq!((taken, tried, held.len()), (Err("full"), 1, 0));
    }
}
