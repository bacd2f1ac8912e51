//! What is kept, and under what.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{
    gzip::{self, Sum},
    versions::Stamp,
};
use crate::timing;

/// What is asked for, and of whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// Whose rows; from the token.
    pub(crate) organization: Uuid,
    /// Which kind of query, also in metrics and logs.
    pub(crate) kind: &'static str,
    /// All that the answer depends on besides, as a text: the same for the same answer.
    pub(crate) parameters: Arc<str>,
}

/// What is asked for, and from which rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) asked: Asked,
    pub(super) stamp: Stamp,
}

impl Key {
    /// The whole key as a line.
    pub(super) fn line(&self) -> String {
        let Asked {
            organization,
            kind,
            parameters,
        } = &self.asked;
        let Stamp {
            organization: version,
            watermark,
        } = self.stamp;
        // Nothing before the parameters has a blank in it, and Debug leaves no line break.
        format!("1 {organization} {version} {watermark} {kind} {parameters:?}\n")
    }

    /// The entity tag of the answer. Weak (RFC 9110, section 8.8.1): answers also say how long
    /// they took.
    pub(super) fn etag(&self) -> HeaderValue {
        weak(self.line().as_bytes())
    }
}

/// Room for an answer while it is written.
const ROOM: usize = 64 * 1024;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// As gzip, if that is worth it.
    Gzip,
}

/// An answer as JSON, but for the members that differ each time.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) etag: HeaderValue,
    /// An object without its last brace; or such a one as the beginning of a gzip stream.
    pub(super) body: Bytes,
    /// Of a gzip stream.
    sum: Option<Sum>,
}

impl Entry {
    /// Of an answer that is an object.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn new<T: Serialize>(key: Option<&Key>, answer: &T) -> anyhow::Result<Self> {
        let mut body = Vec::with_capacity(ROOM);
        serde_json::to_writer(&mut body, answer)?;
        anyhow::ensure!(
            body.len() > 2 && body.pop() == Some(b'}'),
            "an answer is an object with members"
        );
        body.shrink_to_fit();
        Ok(Self::stored(key, body.into()))
    }

    /// Of what [`Self::new`] made.
    pub(super) fn stored(key: Option<&Key>, body: Bytes) -> Self {
        let etag = key.map_or_else(|| weak(&body), Key::etag);
        Self {
            etag,
            body,
            sum: None,
        }
    }

    /// The same as gzip; as it is, if it is so small that it fits a packet anyway.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub(super) fn packed(self) -> anyhow::Result<Self> {
        const WORTH_IT: usize = 1024;
        if self.body.len() < WORTH_IT {
            return Ok(self);
        }
        let (body, sum) = gzip::begin(&self.body)?;
        Ok(Self {
            etag: self.etag,
            body,
            sum: Some(sum),
        })
    }

    pub(super) fn is_gzip(&self) -> bool {
        self.sum.is_some()
    }

    /// The answer, whole: what is kept, which is not copied, and its end.
    pub(super) fn answer(&self, elapsed: Duration, is_hit: bool) -> [Bytes; 2] {
        let hit = if is_hit { "hit" } else { "miss" };
        let millis = timing::millis(elapsed);
        let rest = format!(",\"query_time_ms\":{millis},\"cache\":\"{hit}\"}}");
        let end = match self.sum {
            Some(sum) => gzip::end(sum, rest.as_bytes()),
            None => rest.into(),
        };
        [self.body.clone(), end]
    }
}

/// A weak entity tag that follows from bytes.
fn weak(bytes: &[u8]) -> HeaderValue {
    const NAMESPACE: Uuid = Uuid::from_u128(0x8f6b_02c7_6e0f_4b1d_9a35_4f0c_51f2_7ad3);
    let hash = Uuid::new_v5(&NAMESPACE, bytes).simple();
    HeaderValue::try_from(format!("W/\"{hash}\"")).expect("letters and digits")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::{Value, json};

    use super::*;

    fn key(organization: u128, version: i64, parameters: &str) -> Key {
        Key {
            asked: Asked {
                organization: Uuid::from_u128(organization),
                kind: "aggregated",
                parameters: parameters.into(),
            },
            stamp: Stamp {
                organization: version,
                watermark: 0,
            },
        }
    }

    #[test]
    fn whatever_differs_in_the_key_differs_in_its_line_and_its_tag() {
        let keys = [
            key(1, 1, "a"),
            key(2, 1, "a"),
            key(1, 2, "a"),
            key(1, 1, "a b"),
            key(1, 1, "a\nb"),
        ];
        for (n, one) in keys.iter().enumerate() {
            assert_eq!(one.line().matches('\n').count(), 1);
            for other in &keys[..n] {
                assert_ne!(one.line(), other.line());
                assert_ne!(one.etag(), other.etag());
            }
        }
        let tag = keys[0].etag();
        assert!(tag.to_str().unwrap().starts_with("W/\""), "{tag:?}");
    }

    #[test]
    fn an_answer_is_whole_again_in_either_form() {
        let data = vec![7; 1000];
        let entry = Entry::new(None, &json!({"data": data})).unwrap();
        let packed = entry.clone().packed().unwrap();
        assert_eq!((entry.is_gzip(), packed.is_gzip()), (false, true));
        assert!(packed.body.len() * 10 < entry.body.len());
        let answer = |entry: &Entry| entry.answer(Duration::from_micros(1500), true).concat();
        let mut unpacked = Vec::new();
        GzDecoder::new(&answer(&packed)[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, answer(&entry));
        assert_eq!(
            serde_json::from_slice::<Value>(&unpacked).unwrap(),
            json!({"data": data, "query_time_ms": 1.5, "cache": "hit"})
        );
    }

    #[test]
    fn what_is_small_stays_as_it_is() {
        let entry = Entry::new(None, &json!({"data": [1]})).unwrap();
        assert!(!entry.packed().unwrap().is_gzip());
    }

    #[test]
    fn nothing_but_an_object_with_members_is_an_answer() {
        assert!(Entry::new(None, &json!([1])).is_err());
        assert!(Entry::new(None, &json!({})).is_err());
    }
}
