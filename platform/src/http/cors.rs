//! Which pages may call us from a browser (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::CorsOrigins;

const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];

/// What a page may send beyond what every page may: ours, those of tracing, and the
/// attributes of an event in the binary mode of CloudEvents.
const SENT: [&str; 16] = [
    "authorization",
    "content-type",
    "content-encoding",
    "idempotency-key",
    "if-none-match",
    "prefer",
    "traceparent",
    "tracestate",
    "x-request-id",
    "ce-id",
    "ce-source",
    "ce-specversion",
    "ce-type",
    "ce-time",
    "ce-subject",
    "ce-dataschema",
];

/// What a page may read beyond what every page may.
const READ: [&str; 9] = [
    "etag",
    "x-request-id",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
    "preference-applied",
    "content-disposition",
    "flowmeter-start-date",
    "flowmeter-end-date",
];

/// How long a browser may remember a preflight's answer.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Answers preflights itself. Credentials are never allowed: a token is a header that the
/// page sets, and no cookie.
pub(super) fn layer(origins: &CorsOrigins) -> CorsLayer {
    let origins = match origins {
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::List(origins) => {
            AllowOrigin::list(origins.iter().flat_map(|o| HeaderValue::from_str(o)))
        }
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods(METHODS)
        .allow_headers(SENT.map(HeaderName::from_static))
        .expose_headers(READ.map(HeaderName::from_static))
        .max_age(MAX_AGE)
}
