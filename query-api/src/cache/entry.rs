//! What is kept, and under what.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use uuid::Uuid;

use super::versions::Stamp;
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

/// An answer as JSON, but for the members that differ each time.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) etag: HeaderValue,
    /// An object without its last brace.
    pub(super) body: Bytes,
}

impl Entry {
    /// Of an answer that is an object.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn new<T: Serialize>(key: Option<&Key>, answer: &T) -> anyhow::Result<Self> {
        let mut body = serde_json::to_vec(answer)?;
        anyhow::ensure!(
            body.len() > 2 && body.pop() == Some(b'}'),
            "an answer is an object with members"
        );
        Ok(Self::stored(key, body.into()))
    }

    /// Of what [`Self::new`] made.
    pub(super) fn stored(key: Option<&Key>, body: Bytes) -> Self {
        let etag = key.map_or_else(|| weak(&body), Key::etag);
        Self { etag, body }
    }

    /// The answer, whole.
    pub(super) fn answer(&self, elapsed: Duration, is_hit: bool) -> Bytes {
        let hit = if is_hit { "hit" } else { "miss" };
        let millis = timing::millis(elapsed);
        let rest = format!(",\"query_time_ms\":{millis},\"cache\":\"{hit}\"}}");
        let mut whole = BytesMut::with_capacity(self.body.len() + rest.len());
        whole.put_slice(&self.body);
        whole.put_slice(rest.as_bytes());
        whole.freeze()
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
    fn an_answer_is_whole_again() {
        let entry = Entry::new(None, &json!({"data": [1]})).unwrap();
        let answer: Value =
            serde_json::from_slice(&entry.answer(Duration::from_micros(1500), true)).unwrap();
        assert_eq!(
            answer,
            json!({"data": [1], "query_time_ms": 1.5, "cache": "hit"})
        );
        assert!(Entry::new(None, &json!([1])).is_err());
        assert!(Entry::new(None, &json!({})).is_err());
    }
}
