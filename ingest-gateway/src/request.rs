//! What a handler takes from a request: who posts, a JSON body, the key of a retry.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header::USER_AGENT, request::Parts},
};
use platform::{
    auth::{Identity, Verifier, may_post_for},
    http::{
        body::{self, Body, Limits},
        media_type::sent_as,
        problem::Problem,
    },
};
use schemas::client;
use serde_json::value::RawValue;

use crate::{batch::is_key, cloud_events::Mode, refusal::MAX_EVENT_BYTES};

const JSON: &str = "application/json";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A caller whose role may post at all. Taken before the body is read.
pub(crate) struct Poster {
    pub(crate) identity: Identity,
    /// Which program posts, as its `User-Agent` says: a header of its records.
    pub(crate) client: Option<Box<str>>,
}

impl<S> FromRequestParts<S> for Poster
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let identity = Identity::from_request_parts(parts, state).await?;
        // Every role that posts may post as itself.
        may_post_for(&identity, Some(identity.user_id), None)?;
        let agent = parts.headers.get(USER_AGENT);
        let client = agent.and_then(|value| client::name(value.as_bytes()));
        Ok(Self {
            identity,
            client: client.map(Box::from),
        })
    }
}

/// A body sent as JSON, not yet parsed.
#[derive(Debug)]
pub(crate) struct JsonBody(Body);

impl JsonBody {
    pub(crate) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.0).map_err(|_| malformed("it is not UTF-8"))
    }

    /// Its bytes, decoded.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// One JSON value.
    pub(crate) fn value(&self) -> Result<&RawValue, Problem> {
        serde_json::from_str(self.text()?).map_err(malformed)
    }
}

/// 400 for a body that is no JSON.
pub(crate) fn malformed(why: impl std::fmt::Display) -> Problem {
    Problem::bad_request("malformed_json", format!("The body is not JSON: {why}."))
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        sent_as(request.headers(), &[JSON])?;
        let limits = Limits::of(&request);
        body::read(request, &limits).await.map(Self)
    }
}

/// A body that holds CloudEvents, or the data of one.
pub(crate) struct CloudEventBody {
    pub(crate) mode: Mode,
    pub(crate) body: JsonBody,
}

impl<S: Send + Sync> FromRequest<S> for CloudEventBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let mode = Mode::of(sent_as(request.headers(), &Mode::MEDIA_TYPES)?);
        let mut limits = Limits::of(&request);
        if mode != Mode::Batched {
            limits.bytes = limits.bytes.min(MAX_EVENT_BYTES);
        }
        let body = JsonBody(body::read(request, &limits).await?);
        Ok(Self { mode, body })
    }
}

/// The one `Idempotency-Key`, if there is any.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if values.next().is_none() && is_key(key) => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request(
            "invalid_idempotency_key",
            "Idempotency-Key must be one header of 1 to 255 ASCII characters.",
        )),
    }
}

/// The key of a batch, which has two places for it.
pub(crate) fn one_key(
    header: Option<String>,
    batch_id: Option<String>,
) -> Result<Option<String>, Problem> {
    match (header, batch_id) {
        (Some(header), Some(batch_id)) if header != batch_id => Err(Problem::bad_request(
            "idempotency_key_conflict",
            "Idempotency-Key and batch_id differ; send one of them.",
        )),
        (header, batch_id) => Ok(header.or(batch_id)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_key_is_one_short_text() {
        let read = |values: &[&str]| idempotency_key(&headers(IDEMPOTENCY_KEY, values));
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&["a b"]).unwrap().as_deref(), Some("a b"));
        for values in [&[""][..], &["a", "a"], &[&"x".repeat(256)], &["é"]] {
            assert_eq!(read(values).unwrap_err().code(), "invalid_idempotency_key");
        }
    }

    #[test]
    fn two_keys_must_be_one() {
        let key = |text: &str| Some(text.to_owned());
        assert_eq!(one_key(None, None).unwrap(), None);
        assert_eq!(one_key(key("a"), None).unwrap(), key("a"));
        assert_eq!(one_key(None, key("b")).unwrap(), key("b"));
        assert_eq!(one_key(key("a"), key("a")).unwrap(), key("a"));
        let refused = one_key(key("a"), key("b")).unwrap_err();
        assert_eq!(refused.code(), "idempotency_key_conflict");
    }
}
