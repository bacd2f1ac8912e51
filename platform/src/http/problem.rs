//! Errors as RFC 9457 problem details.
//!
//! A handler answers `Result<_, Problem>`. A 4xx says what the client can
//! mend; a 5xx says nothing of the inside, which goes to the log with the
//! request's id, and the id goes to the client.

use std::{borrow::Cow, fmt, time::Duration};

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::error;
use utoipa::ToSchema;

use super::request_id::RequestId;

/// The media type of RFC 9457.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    /// Stable, for programs.
    pub code: String,
    /// What to mend, for people.
    pub message: String,
}

/// A [`Problem`] as API descriptions show it. Members beyond these are described where a
/// problem has them.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code, reason = "it describes and is never made")]
pub struct ProblemBody {
    /// `urn:flowmeter:problem:` and the code.
    #[schema(example = "urn:flowmeter:problem:malformed_json")]
    r#type: String,
    title: String,
    status: u16,
    /// For people.
    detail: String,
    /// Stable, for programs.
    #[schema(example = "malformed_json")]
    code: String,
    /// The id of the request, for questions to the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<String>,
}

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    // Both are boxed because they are rare and a `Problem` is the error of many functions.
    members: Option<Box<Map<String, Value>>>,
    retry_after: Option<Duration>,
    headers: Option<Box<HeaderMap>>,
}

/// The body, in the words of RFC 9457 with members of our own.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    members: Option<&'a Map<String, Value>>,
}

impl Problem {
    /// A problem of any status, with a stable code for programs and a detail
    /// for people.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            members: None,
            retry_after: None,
            headers: None,
        }
    }

    /// 400: the request cannot be understood or breaks a rule.
    #[must_use]
    pub fn bad_request(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401 for a token that is not believed (RFC 6750 `invalid_token`).
    #[must_use]
    pub fn unauthorized(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .challenge("Bearer realm=\"flowmeter\", error=\"invalid_token\"")
    }

    /// 401 for a request without credentials, whose challenge names no error
    /// (RFC 6750 section 3.1).
    #[must_use]
    pub fn unauthenticated(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail).challenge("Bearer realm=\"flowmeter\"")
    }

    /// 403: who asks is known and may not.
    #[must_use]
    pub fn forbidden(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing at this address.",
        )
    }

    /// 405; the router adds `Allow`.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This address does not answer to this method; see the Allow header.",
        )
    }

    /// 413, with the limit in bytes when it is one of size.
    #[must_use]
    pub fn payload_too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        )
    }

    /// 429: a rate limit is used up until `retry_after` has passed.
    #[must_use]
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests; see the Retry-After header.",
        )
        .retry_after(retry_after)
    }

    /// 503: something we need is away; the same request may succeed later.
    #[must_use]
    pub fn unavailable(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
        retry_after: Duration,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(retry_after)
    }

    /// 500: logs the error with its causes and the request's id here, and
    /// tells the client the id alone.
    #[must_use]
    pub fn internal(failure: impl Into<anyhow::Error>) -> Self {
        let id = RequestId::current();
        let request_id = id.as_ref().map_or("", RequestId::as_str);
        error!(
            request_id,
            error = format!("{:#}", failure.into()),
            "a request failed"
        );
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something failed on our side. It is logged under the id in `instance`.",
        )
    }

    /// With the faults of single fields.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// With a further member of the body (RFC 9457, section 3.2). The name must be none
    /// that every problem has.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members
            .get_or_insert_default()
            .insert(name.to_owned(), value.into());
        self
    }

    /// With a `Retry-After`, rounded up to whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn challenge(self, challenge: &'static str) -> Self {
        self.header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        )
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }

    /// After its answer the connection is closed: what else the client sends on it is not
    /// worth reading.
    #[must_use]
    pub fn closing(self) -> Self {
        self.header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let id = RequestId::current();
        let body = Body {
            r#type: format!("urn:flowmeter:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: &self.code,
            instance: id.as_ref().map(RequestId::as_str),
            errors: &self.errors,
            members: self.members.as_deref(),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds_up(wait).into());
        }
        headers.extend(self.headers.map(|more| *more).unwrap_or_default());
        response
    }
}

fn whole_seconds_up(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(up).max(1)
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::payload_too_large("The body is larger than this call takes.")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::unsupported_media_type("The body must be sent as application/json.")
            }
            _ => Self::bad_request("invalid_json", rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("invalid_query", rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        match rejection.status() {
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal(rejection),
            _ => Self::bad_request("invalid_path", rejection.body_text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::http::context::Context;

    async fn body(response: Response) -> Value {
        serde_json::from_slice(&to_bytes(response.into_body(), 1 << 16).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_rfc_9457() {
        let error = FieldError {
            pointer: "/a/0".into(),
            code: "range".into(),
            message: "too large".into(),
        };
        let response = Problem::bad_request("invalid_event", "The event is invalid.")
            .errors(vec![error])
            .into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
        assert_eq!(
            body(response).await,
            json!({
                "type": "urn:flowmeter:problem:invalid_event",
                "title": "Bad Request",
                "status": 400,
                "detail": "The event is invalid.",
                "code": "invalid_event",
                "errors": [{"pointer": "/a/0", "code": "range", "message": "too large"}],
            })
        );
    }

    #[tokio::test]
    async fn a_problem_may_have_members_of_its_own() {
        let response = Problem::bad_request("none", "None.")
            .member("accepted", 0)
            .into_response();
        let body = body(response).await;
        assert_eq!(body["accepted"], 0);
        assert_eq!(body["code"], "none");
    }

    #[tokio::test]
    async fn an_internal_failure_tells_nothing_but_the_request_id() {
        let name = super::super::request_id::HEADER;
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("r-1"))]);
        let response = Context::of(&headers)
            .scope(async { Problem::internal(anyhow::anyhow!("password hush")).into_response() })
            .await;
        assert_eq!(response.status(), 500);
        let body = body(response).await;
        assert_eq!(body["instance"], "r-1");
        assert!(!body.to_string().contains("hush"));
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        for (wait, header) in [
            (0, "1"),
            (999, "1"),
            (1000, "1"),
            (1001, "2"),
            (60_000, "60"),
        ] {
            let response = Problem::too_many_requests(Duration::from_millis(wait)).into_response();
            assert_eq!(response.headers()["retry-after"], header, "{wait}");
        }
    }

    #[test]
    fn a_challenge_names_an_error_only_when_there_was_a_token() {
        let with = Problem::unauthorized("token_expired", "x").into_response();
        assert!(
            with.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
        let without = Problem::unauthenticated("token_missing", "x").into_response();
        assert_eq!(
            without.headers()["www-authenticate"],
            "Bearer realm=\"flowmeter\""
        );
    }
}
