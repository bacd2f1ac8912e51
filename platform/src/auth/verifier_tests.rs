//! Forged, broken and expired tokens, and the ones that are believed: with a shared secret.

use std::time::Duration;

use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::{
        issue,
        test_keys::{self, claims, claims_with, now, part},
    },
    config::Env,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn config() -> JwtConfig {
    JwtConfig::from_env(&mut Env::from_pairs([("JWT_SECRET", SECRET)]))
}

/// Any header over any claims, signed as HS256 with the right secret.
fn signed(header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    test_keys::signed(&key, Algorithm::HS256, header, claims)
}

async fn verdict(claims: &Value) -> Result<Identity, AuthError> {
    verify(&signed(&json!({"alg": "HS256", "typ": "JWT"}), claims)).await
}

async fn verify(token: &str) -> Result<Identity, AuthError> {
    Verifier::start(&config()).unwrap().verify(token).await
}

fn invalid<T>(refusal: Refusal) -> Result<T, AuthError> {
    Err(AuthError::Invalid(refusal))
}

#[tokio::test]
async fn an_issued_token_gives_its_identity_back() {
    for team_ids in [None, Some(vec![]), Some(vec![Uuid::from_u128(7)])] {
        for role in Role::ALL {
            let identity = Identity {
                user_id: Uuid::from_u128(1),
                organization_id: Uuid::from_u128(2),
                role,
                team_ids: team_ids.clone(),
            };
            let token = issue(&config(), &identity, Duration::from_secs(60)).unwrap();
            assert_eq!(verify(&token).await, Ok(identity));
        }
    }
}

#[tokio::test]
async fn forms_that_other_issuers_write_are_believed() {
    for claims in [
        claims(),
        claims_with("aud", Some(json!(["other", "flowmeter"]))),
        claims_with("exp", Some(json!(now() as f64 + 60.5))),
        claims_with("iat", None),
        // Within the leeway of 30 s.
        claims_with("exp", Some(json!(now() - 10))),
        claims_with("nbf", Some(json!(now() + 10))),
    ] {
        let verdict = verdict(&claims).await;
        assert!(verdict.is_ok(), "{claims}: {verdict:?}");
    }
    let named = signed(&json!({"alg": "HS256", "kid": "any"}), &claims());
    assert!(verify(&named).await.is_ok());
}

#[tokio::test]
async fn wrong_and_missing_claims_are_refused() {
    use Refusal::{Audience, Claims, Expired, Issuer, NotYetValid};
    for (name, value, refusal) in [
        ("exp", None, Claims),
        ("iss", None, Claims),
        ("aud", None, Claims),
        ("sub", None, Claims),
        ("organization_id", None, Claims),
        ("role", None, Claims),
        ("exp", Some(json!("tomorrow")), Claims),
        ("exp", Some(Value::Null), Claims),
        ("exp", Some(json!(now() - 60)), Expired),
        ("exp", Some(json!(0)), Expired),
        ("exp", Some(json!(-1)), Claims),
        ("nbf", Some(json!(now() + 600)), NotYetValid),
        ("iss", Some(json!("someone")), Issuer),
        ("aud", Some(json!("someone")), Audience),
        ("aud", Some(json!(["someone", "else"])), Audience),
        ("aud", Some(json!([])), Audience),
        ("sub", Some(json!("not-a-uuid")), Claims),
        ("role", Some(json!("root")), Claims),
        ("team_ids", Some(json!("all")), Claims),
    ] {
        let claims = claims_with(name, value);
        assert_eq!(verdict(&claims).await, invalid(refusal), "{claims}");
    }
    for claims in [json!({}), json!([]), json!(1)] {
        assert_eq!(verdict(&claims).await, invalid(Claims), "{claims}");
    }
}

#[tokio::test]
async fn the_algorithm_is_ours_to_choose() {
    for algorithm in [
        "RS256", "HS384", "HS512", "ES256", "EdDSA", "none", "None", "hs256", "",
    ] {
        let header = json!({"alg": algorithm, "typ": "JWT"});
        let unsigned = format!("{}.{}.", part(&header), part(&claims()));
        for token in [signed(&header, &claims()), unsigned] {
            let verdict = verify(&token).await;
            assert_eq!(verdict, invalid(Refusal::Algorithm), "{algorithm}");
        }
    }
}

#[tokio::test]
async fn a_token_with_critical_extensions_is_refused() {
    let header = json!({"alg": "HS256", "crit": ["exp2"], "exp2": 1});
    let verdict = verify(&signed(&header, &claims())).await;
    assert_eq!(verdict, invalid(Refusal::CriticalExtension));
}

#[tokio::test]
async fn a_tampered_payload_or_another_secret_is_refused() {
    let token = signed(&json!({"alg": "HS256"}), &claims());
    let parts: Vec<_> = token.split('.').collect();
    let admin = part(&claims_with("role", Some(json!("admin"))));
    let forged = format!("{}.{admin}.{}", parts[0], parts[2]);
    assert_eq!(verify(&forged).await, invalid(Refusal::Signature));
    let other = JwtConfig::from_env(&mut Env::from_pairs([(
        "JWT_SECRET",
        "another-secret-of-at-least-32-bytes",
    )]));
    let verdict = Verifier::start(&other).unwrap().verify(&token).await;
    assert_eq!(verdict, invalid(Refusal::Signature));
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    for text in ["", "a", "a.b", "a.b.c.d", "!.!.!", "e30.e30.e30"] {
        let verdict = verify(text).await;
        assert_eq!(verdict, invalid(Refusal::Malformed), "{text:?}");
    }
    let numbered = format!("{}.e30.", part(&json!({"alg": "HS256", "kid": 1})));
    assert_eq!(verify(&numbered).await, invalid(Refusal::Malformed));
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(verify(&long).await, invalid(Refusal::TooLong));
}

#[test]
fn nothing_is_signed_with_public_keys() {
    let url = ("JWT_JWKS_URL", "https://issuer.example/keys");
    let config = JwtConfig::from_env(&mut Env::from_pairs([url]));
    let identity = Identity {
        user_id: Uuid::from_u128(1),
        organization_id: Uuid::from_u128(2),
        role: Role::Admin,
        team_ids: None,
    };
    let error = issue(&config, &identity, Duration::from_secs(60)).unwrap_err();
    assert!(error.to_string().contains("JWT_SECRET"), "{error}");
}
