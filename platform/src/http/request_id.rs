//! The id that ties a request, its answer and its log lines together.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::trace_context::TraceContext;

/// The header a request's id comes and goes in.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The most characters of an id that a client may choose.
const MAX_CHARS: usize = 64;

/// A request's id: letters, digits, dots, dashes and underscores, at most 64,
/// so that it is harmless in a header, a log line and a URI reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id the client sent, when it is sane; else that of the request's trace; else a
    /// new one.
    #[must_use]
    pub fn of(headers: &HeaderMap, trace: Option<&TraceContext>) -> Self {
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match (sent, trace) {
            (Some(id), _) if is_sane(id) => Self(id.to_owned()),
            (_, Some(trace)) => Self(trace.trace_id()),
            _ => Self(Uuid::now_v7().to_string()),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn is_sane(id: &str) -> bool {
    (1..=MAX_CHARS).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_is_taken_over() {
        let sent = |id: &str| {
            let value = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            HeaderMap::from_iter([(HEADER, value)])
        };
        let of = |id: &str| RequestId::of(&sent(id), None);
        assert_eq!(of("a-B_9.c").as_str(), "a-B_9.c");
        for odd in ["", "a b", "a\"b", "ö", &"x".repeat(65)] {
            assert!(Uuid::parse_str(of(odd).as_str()).is_ok(), "{odd}");
        }
        assert!(Uuid::parse_str(RequestId::of(&HeaderMap::new(), None).as_str()).is_ok());
    }

    #[test]
    fn a_trace_gives_its_id_when_the_client_gives_none() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace: TraceContext = trace.parse().unwrap();
        let id = RequestId::of(&HeaderMap::new(), Some(&trace));
        assert_eq!(id.as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static("mine"))]);
        assert_eq!(RequestId::of(&headers, Some(&trace)).as_str(), "mine");
    }
}
