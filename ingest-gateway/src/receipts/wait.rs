//! How long a request wants to wait until its events are stored.

use std::time::Duration;

use axum::{
    extract::{FromRef, FromRequestParts, Query},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    response::Response,
};
use platform::http::problem::{FieldError, Problem};
use tokio::time::Instant;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long a request may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitLimits {
    /// Who asks to wait and does not say how long.
    pub(crate) default: Duration,
    /// From the request's head on, publishing included.
    pub(crate) longest: Duration,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    asked: Option<Duration>,
    /// In whole seconds, when the header `Prefer` said it.
    preferred: Option<u64>,
    /// When there has to be an answer.
    latest: Instant,
}

impl Wait {
    /// Reads `?wait=stored` and `Prefer: wait=N`. Each alone asks to wait; the header says
    /// how long, and what is longer than may be is cut to that.
    fn read(
        query: &[(String, String)],
        headers: &HeaderMap,
        limits: WaitLimits,
    ) -> Result<Self, Problem> {
        let mut stored = false;
        for (_, value) in query.iter().filter(|(name, _)| name == "wait") {
            if value != "stored" {
                return Err(invalid("/wait", "must be `stored`"));
            }
            stored = true;
        }
        let longest = limits.longest.as_secs();
        let preferred = preference(headers)?.map(|seconds| seconds.min(longest));
        let asked = match preferred {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => stored.then_some(limits.default.min(limits.longest)),
        };
        Ok(Self {
            asked,
            preferred,
            latest: Instant::now() + limits.longest,
        })
    }

    /// Until when to wait, counted from now; `None`: not at all.
    pub(crate) fn bound(&self) -> Option<Instant> {
        let asked = self.asked.filter(|asked| !asked.is_zero())?;
        Some((Instant::now() + asked).min(self.latest))
    }

    /// Says in the answer that the preference was heeded, if it was.
    pub(crate) fn applied(&self, waited: bool, mut response: Response) -> Response {
        let seconds = self.preferred.filter(|seconds| waited || *seconds == 0);
        if let Some(seconds) = seconds
            && let Ok(value) = HeaderValue::try_from(format!("wait={seconds}"))
        {
            response.headers_mut().insert(PREFERENCE_APPLIED, value);
        }
        response
    }
}

impl<S> FromRequestParts<S> for Wait
where
    WaitLimits: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)?;
        Self::read(&query, &parts.headers, WaitLimits::from_ref(state))
    }
}

/// The seconds of the first preference `wait` (RFC 7240: others are ignored, and of one
/// given twice the first counts).
fn preference(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let faulty = || invalid("/Prefer", "wait must be a whole number of seconds");
    for header in headers.get_all(PREFER) {
        // What is not ASCII may stand in another preference's quotes.
        let header = String::from_utf8_lossy(header.as_bytes());
        for preference in header.split(',') {
            // A preference may have parameters; `wait` knows none.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if !name.trim().eq_ignore_ascii_case("wait") {
                continue;
            }
            let digits = value.trim().trim_matches('"');
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(faulty());
            }
            // More than fits is more than may be.
            return Ok(Some(digits.parse().unwrap_or(u64::MAX)));
        }
    }
    Ok(None)
}

fn invalid(pointer: &str, message: &str) -> Problem {
    Problem::bad_request(
        "invalid_wait",
        "How long to wait is not said as it should be; see `errors`.",
    )
    .errors(vec![FieldError {
        pointer: pointer.to_owned(),
        code: "invalid_wait".to_owned(),
        message: message.to_owned(),
    }])
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    const LIMITS: WaitLimits = WaitLimits {
        default: Duration::from_secs(5),
        longest: Duration::from_millis(29_500),
    };

    fn read(query: &str, prefer: &[&str]) -> Result<Wait, Problem> {
        let uri = format!("http://x/?{query}").parse().unwrap();
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap();
        let headers = prefer
            .iter()
            .map(|value| (PREFER, value.parse().unwrap()))
            .collect();
        Wait::read(&query, &headers, LIMITS)
    }

    #[test]
    fn either_asks_to_wait_and_the_header_says_how_long() {
        for (query, prefer, asked) in [
            ("", &[][..], None),
            ("a=b", &["respond-async"], None),
            ("wait=stored", &[], Some(5)),
            ("", &["wait=7"], Some(7)),
            ("wait=stored", &["wait=0"], Some(0)),
            ("wait=stored", &["respond-async, WAIT = \"2\";x=y"], Some(2)),
            ("", &["handling=lenient", "wait=3, wait=9"], Some(3)),
            ("", &["wait=99999999999999999999999"], Some(29)),
        ] {
            let wait = read(query, prefer).unwrap();
            assert_eq!(wait.asked.map(|w| w.as_secs()), asked, "{query} {prefer:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_fault_that_says_where() {
        for (query, prefer, pointer) in [
            ("wait=5", &[][..], "/wait"),
            ("wait=", &[], "/wait"),
            ("wait=stored&wait=never", &[], "/wait"),
            ("", &["wait"], "/Prefer"),
            ("", &["wait=soon"], "/Prefer"),
            ("", &["wait=-1"], "/Prefer"),
            ("wait=stored", &["wait=1.5"], "/Prefer"),
        ] {
            let problem = read(query, prefer).unwrap_err();
            let expected = invalid(pointer, "").code().to_owned();
            assert_eq!(problem.code(), expected);
            let shown = format!("{problem:?}");
            assert!(shown.contains(&format!("{pointer:?}")), "{shown}");
        }
    }

    #[test]
    fn a_preference_is_said_to_be_heeded_only_when_it_was() {
        let header = |prefer: &[&str], waited| {
            let wait = read("wait=stored", prefer).unwrap();
            let response = wait.applied(waited, ().into_response());
            let value = response.headers().get(PREFERENCE_APPLIED).cloned();
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(&[], true), None);
        assert_eq!(header(&["wait=4"], true).as_deref(), Some("wait=4"));
        assert_eq!(header(&["wait=4"], false), None);
        assert_eq!(header(&["wait=400"], true).as_deref(), Some("wait=29"));
        assert_eq!(header(&["wait=0"], false).as_deref(), Some("wait=0"));
    }

    #[test]
    fn the_answer_comes_before_the_request_is_given_up() {
        let mut wait = read("", &["wait=20"]).unwrap();
        let bound = wait.bound().unwrap();
        assert!(bound <= Instant::now() + Duration::from_secs(20));
        // As after a long publication.
        wait.latest = Instant::now() + Duration::from_secs(1);
        assert_eq!(wait.bound(), Some(wait.latest));
        assert_eq!(read("", &["wait=0"]).unwrap().bound(), None);
    }
}
