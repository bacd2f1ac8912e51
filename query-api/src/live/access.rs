//! Who looks, and until when.
//!
//! Browsers let a page set no header of a WebSocket, so its token may also come as one of the
//! protocols it offers, or in its first message. Never in the address, which is logged along
//! the way. A page of another origin cannot make a browser send a token, as it could a cookie,
//! so the origin is not looked at.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, header};
use platform::{
    auth::{AuthError, Identity, bearer_token, may_read_aggregates},
    http::{notes, problem::Problem},
    rate_limit::Class,
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::service::AppState;

/// The protocol that is spoken over a WebSocket.
pub(crate) const PROTOCOL: &str = "flowmeter.live.v1";

/// What comes before the token among the protocols that a client offers.
const BEARER: &str = "bearer.";

/// The longest that a token is believed without being seen again.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// Who looks, until when.
pub(crate) struct Access {
    pub(crate) identity: Identity,
    pub(crate) expires: Instant,
}

/// The first message of a client that could not say before who it is.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum FirstMessage {
    Auth { token: String },
}

/// The token in a request's headers; `None` when it has none at all.
///
/// # Errors
/// When the header is there and holds none.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    if let Some(token) = offered(headers) {
        return Ok(Some(token));
    }
    match bearer_token(headers) {
        Ok(token) => Ok(Some(token)),
        Err(AuthError::Missing) => Ok(None),
        Err(error) => {
            error.observe();
            Err(error.into())
        }
    }
}

/// 401: there is no token, and none can come.
pub(crate) fn missing() -> Problem {
    AuthError::Missing.observe();
    AuthError::Missing.into()
}

/// The token among the protocols that the client offers.
fn offered(headers: &HeaderMap) -> Option<&str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(BEARER))
}

/// The token in a client's first message.
pub(crate) fn token_of(message: &str) -> Option<String> {
    let FirstMessage::Auth { token } = serde_json::from_str(message).ok()?;
    Some(token)
}

/// Lets in whoever may look, once.
///
/// # Errors
/// 401, 403, 429 or 503.
pub(crate) async fn admit(state: &AppState, token: &str) -> Result<Access, Problem> {
    let (identity, expires) = state.verifier.verify_until(token).await?;
    notes::organization(identity.organization_id);
    may_read_aggregates(&identity)?;
    state.limiter.admit(&identity, Class::Read, 1).await?;
    let left = expires
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    Ok(Access {
        identity,
        expires: Instant::now() + left.min(LONGEST),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_among_protocols_and_in_the_header() {
        let headers = |pairs: &[(header::HeaderName, &str)]| -> HeaderMap {
            let pair =
                |(name, value): &(header::HeaderName, &str)| (name.clone(), value.parse().unwrap());
            pairs.iter().map(pair).collect()
        };
        let protocols = (
            header::SEC_WEBSOCKET_PROTOCOL,
            "flowmeter.live.v1, bearer.a.b.c",
        );
        let bearer = (header::AUTHORIZATION, "Bearer d.e.f");
        assert_eq!(token(&headers(&[])).unwrap(), None);
        assert_eq!(
            token(&headers(std::slice::from_ref(&protocols))).unwrap(),
            Some("a.b.c")
        );
        assert_eq!(
            token(&headers(std::slice::from_ref(&bearer))).unwrap(),
            Some("d.e.f")
        );
        assert_eq!(
            token(&headers(&[bearer, protocols])).unwrap(),
            Some("a.b.c")
        );
        let protocol = (header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
        assert_eq!(token(&headers(&[protocol])).unwrap(), None);
        assert!(token(&headers(&[(header::AUTHORIZATION, "Bearer ")])).is_err());
    }

    #[test]
    fn only_a_message_of_the_right_form_holds_a_token() {
        assert_eq!(
            token_of(r#"{"type":"auth","token":"a.b.c"}"#),
            Some("a.b.c".to_owned())
        );
        for other in [
            "",
            "{}",
            r#"{"type":"auth"}"#,
            r#"{"type":"hello","token":"a"}"#,
            "a.b.c",
        ] {
            assert_eq!(token_of(other), None, "{other}");
        }
    }
}
