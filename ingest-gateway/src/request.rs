//! What a handler takes from a request: who posts, a JSON body, the key of a retry.

use std::sync::Arc;

use axum::{
    extract::{DefaultBodyLimit, FromRef, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use platform::{
    auth::{Identity, Verifier, may_post_for},
    http::problem::Problem,
};
use serde_json::value::RawValue;

use crate::{batch::is_key, cloud_events::Mode, refusal::MAX_EVENT_BYTES};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A caller whose role may post at all. Taken before the body is read.
pub(crate) struct Poster(pub(crate) Identity);

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
        Ok(Self(identity))
    }
}

/// A body sent as JSON, not yet parsed.
pub(crate) struct JsonBody(pub(crate) Bytes);

impl JsonBody {
    pub(crate) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.0).map_err(|_| malformed("it is not UTF-8"))
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

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type(
                "The body must be sent as application/json.",
            ));
        }
        Self::read(request, state).await
    }
}

impl JsonBody {
    /// The body of a request whose media type is known to be one of JSON.
    async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Self, Problem> {
        if is_encoded(request.headers()) {
            return Err(Problem::unsupported_media_type(
                "The body must be sent without a Content-Encoding.",
            ));
        }
        match Bytes::from_request(request, state).await {
            Ok(body) => Ok(Self(body)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(
                Problem::payload_too_large("The body is larger than this call takes."),
            ),
            Err(_) => Err(Problem::bad_request(
                "incomplete_body",
                "The body did not arrive whole.",
            )),
        }
    }
}

/// A body that holds CloudEvents, or the data of one.
pub(crate) struct CloudEventBody {
    pub(crate) mode: Mode,
    pub(crate) body: JsonBody,
}

impl<S: Send + Sync> FromRequest<S> for CloudEventBody {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        let mode = content_type(request.headers()).and_then(Mode::of);
        let mode = mode.ok_or_else(|| {
            Problem::unsupported_media_type(
                "The body must be sent as application/cloudevents+json, as application/cloudevents-batch+json, or, with the attributes as headers, as application/json.",
            )
        })?;
        if mode != Mode::Batched {
            DefaultBodyLimit::max(MAX_EVENT_BYTES).apply(&mut request);
        }
        let body = JsonBody::read(request, state).await?;
        Ok(Self { mode, body })
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = content_type(headers).and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
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
    fn json_may_have_parameters() {
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;v=1",
        ] {
            assert!(is_json(&headers("content-type", &[value])), "{value}");
        }
        for value in ["text/json", "application/json5", "", "application/x-ndjson"] {
            assert!(!is_json(&headers("content-type", &[value])), "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn an_encoding_is_one_that_changes_the_body() {
        assert!(is_encoded(&headers("content-encoding", &["gzip"])));
        assert!(!is_encoded(&headers("content-encoding", &["Identity"])));
        assert!(!is_encoded(&HeaderMap::new()));
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
