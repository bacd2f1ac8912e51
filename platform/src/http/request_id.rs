//! The id that ties a request, its answer and its log lines together.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header a request's id comes and goes in.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The most characters of an id that a client may choose.
const MAX_CHARS: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// A request's id: letters, digits, dots, dashes and underscores, at most 64,
/// so that it is harmless in a header, a log line and a URI reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id the client sent, when it is sane; else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match sent {
            Some(id) if is_sane(id) => Self(id.to_owned()),
            _ => Self(Uuid::now_v7().to_string()),
        }
    }

    /// The id of the request this task is answering, inside the layers of
    /// [`crate::http::layers`].
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Runs `work` so that [`RequestId::current`] answers this id.
    pub(super) async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
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
        let of = |id: &str| {
            RequestId::of(&HeaderMap::from_iter([(
                HEADER,
                HeaderValue::from_bytes(id.as_bytes()).unwrap(),
            )]))
        };
        assert_eq!(of("a-B_9.c").as_str(), "a-B_9.c");
        for odd in ["", "a b", "a\"b", "ö", &"x".repeat(65)] {
            assert_ne!(of(odd).as_str(), odd);
        }
        assert!(Uuid::parse_str(RequestId::of(&HeaderMap::new()).as_str()).is_ok());
    }
}
