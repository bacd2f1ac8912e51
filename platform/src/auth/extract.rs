//! The identity as an argument of a handler.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};

use super::{AuthError, Identity, Refusal, Verifier};
use crate::http::problem::Problem;

impl<S> FromRequestParts<S> for Identity
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = bearer_token(&parts.headers).inspect_err(|error| error.observe())?;
        let identity = Arc::<Verifier>::from_ref(state).verify(token).await?;
        crate::http::notes::organization(identity.organization_id);
        Ok(identity)
    }
}

/// The one token of the one `Authorization` header (RFC 6750, section 2.1).
///
/// # Errors
/// [`AuthError::Missing`] or what is wrong with the header; not observed yet.
pub fn bearer_token(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    // Of two headers a proxy may have looked at the other one.
    if values.next().is_some() {
        return Err(Refusal::Malformed.into());
    }
    let value = value.to_str().map_err(|_| Refusal::Malformed)?;
    let (scheme, token) = value.trim().split_once(' ').ok_or(Refusal::Malformed)?;
    // RFC 6750, section 3.1: who comes with another scheme lacks a token.
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing);
    }
    let token = token.trim_start();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Refusal::Malformed.into());
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{Router, body::Body, http::Request, response::Response, routing::get};
    use tower::ServiceExt;
    use uuid::Uuid;

    use super::*;
    use crate::{
        auth::{Role, issue},
        config::{Env, JwtConfig},
    };

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (header::AUTHORIZATION, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_alone() {
        for value in ["Bearer t.o.k", "bearer t.o.k", "BEARER   t.o.k "] {
            assert_eq!(bearer_token(&headers(&[value])), Ok("t.o.k"), "{value}");
        }
        for values in [&[] as &[_], &["Basic dTpw"]] {
            let headers = headers(values);
            let verdict = bearer_token(&headers);
            assert_eq!(verdict, Err(AuthError::Missing), "{values:?}");
        }
        for values in [
            &[""] as &[_],
            &["Bearer"],
            &["Bearer "],
            &["t.o.k"],
            &["Bearer a b"],
            &["Bearer,a"],
            &["Bearer a", "Bearer a"],
        ] {
            let headers = headers(values);
            let verdict = bearer_token(&headers);
            assert_eq!(verdict, Err(Refusal::Malformed.into()), "{values:?}");
        }
    }

    #[tokio::test]
    async fn a_handler_gets_the_identity_or_the_client_a_401() {
        let config = JwtConfig::from_env(&mut Env::from_pairs([(
            "JWT_SECRET",
            "0123456789abcdef0123456789abcdef",
        )]));
        let identity = Identity {
            user_id: Uuid::from_u128(1),
            organization_id: Uuid::from_u128(2),
            role: Role::Viewer,
            team_ids: None,
        };
        let token = issue(&config, &identity, Duration::from_secs(60)).unwrap();
        let handler = get(async |identity: Identity| identity.role.to_string());
        let app = Router::new()
            .route("/", handler)
            .with_state(Arc::new(Verifier::start(&config).unwrap()));
        let call = async |value: Option<String>| -> Response {
            let mut request = Request::get("/");
            if let Some(value) = value {
                request = request.header("authorization", value);
            }
            app.clone()
                .oneshot(request.body(Body::empty()).unwrap())
                .await
                .unwrap()
        };
        assert_eq!(call(Some(format!("Bearer {token}"))).await.status(), 200);
        let refused = call(Some("Bearer a.b.c".to_owned())).await;
        assert_eq!(refused.status(), 401);
        assert!(
            refused.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("invalid_token")
        );
        assert_eq!(
            call(None).await.headers()["www-authenticate"],
            "Bearer realm=\"flowmeter\""
        );
    }
}
