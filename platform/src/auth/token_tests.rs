//! Forged, broken and expired tokens, and the ones that are believed.

use jsonwebtoken::crypto::sign;
use serde_json::{Value, json};

use super::*;
use crate::config::Env;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn config() -> JwtConfig {
    JwtConfig::from_env(&mut Env::from_pairs([("JWT_SECRET", SECRET)]))
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn claims() -> Value {
    json!({
        "sub": Uuid::from_u128(1), "organization_id": Uuid::from_u128(2), "role": "manager",
        "exp": now() + 60, "iat": now(), "iss": "flowmeter", "aud": "flowmeter",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Any header over any claims, signed as HS256 with the right secret.
fn signed(header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Base64url without padding, as RFC 7515 wants it.
fn part(value: &Value) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in value.to_string().as_bytes().chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[bits >> (18 - 6 * place) & 63]));
        }
    }
    text
}

fn verdict(claims: &Value) -> Result<Identity, AuthError> {
    Verifier::new(&config()).verify(&signed(&json!({"alg": "HS256", "typ": "JWT"}), claims))
}

fn verify(token: &str) -> Result<Identity, AuthError> {
    Verifier::new(&config()).verify(token)
}

#[test]
fn an_issued_token_gives_its_identity_back() {
    for team_ids in [None, Some(vec![]), Some(vec![Uuid::from_u128(7)])] {
        for role in Role::ALL {
            let identity = Identity {
                user_id: Uuid::from_u128(1),
                organization_id: Uuid::from_u128(2),
                role,
                team_ids: team_ids.clone(),
            };
            let token = issue(&config(), &identity, Duration::from_secs(60)).unwrap();
            assert_eq!(verify(&token), Ok(identity));
        }
    }
}

#[test]
fn forms_that_other_issuers_write_are_believed() {
    for claims in [
        claims(),
        with("aud", json!(["other", "flowmeter"])),
        with("exp", json!(now() as f64 + 60.5)),
        without("iat"),
        // Within the leeway of 30 s.
        with("exp", json!(now() - 10)),
        with("nbf", json!(now() + 10)),
    ] {
        assert!(verdict(&claims).is_ok(), "{claims}: {:?}", verdict(&claims));
    }
}

#[test]
fn an_expired_token_is_told_so() {
    assert_eq!(
        verdict(&with("exp", json!(now() - 60))),
        Err(AuthError::Expired)
    );
}

#[test]
fn wrong_and_missing_claims_are_refused() {
    for claims in [
        without("exp"),
        without("iss"),
        without("aud"),
        without("sub"),
        without("organization_id"),
        without("role"),
        with("exp", json!("tomorrow")),
        with("exp", Value::Null),
        with("iss", json!("someone")),
        with("aud", json!("someone")),
        with("aud", json!(["someone", "else"])),
        with("aud", json!([])),
        with("sub", json!("not-a-uuid")),
        with("role", json!("root")),
        with("team_ids", json!("all")),
        with("nbf", json!(now() + 600)),
        json!({}),
    ] {
        assert_eq!(verdict(&claims), Err(AuthError::Invalid), "{claims}");
    }
}

#[test]
fn the_algorithm_is_ours_to_choose() {
    for algorithm in ["RS256", "HS384", "HS512", "ES256", "EdDSA"] {
        let token = signed(&json!({"alg": algorithm, "typ": "JWT"}), &claims());
        assert_eq!(verify(&token), Err(AuthError::Invalid), "{algorithm}");
    }
    for algorithm in ["none", "None", "hs256", ""] {
        let header = part(&json!({"alg": algorithm}));
        for token in [
            format!("{header}.{}.", part(&claims())),
            signed(&json!({"alg": algorithm}), &claims()),
        ] {
            assert!(verify(&token).is_err(), "{algorithm}");
        }
    }
}

#[test]
fn a_token_with_critical_extensions_is_refused() {
    let token = signed(
        &json!({"alg": "HS256", "crit": ["exp2"], "exp2": 1}),
        &claims(),
    );
    assert_eq!(verify(&token), Err(AuthError::Invalid));
}

#[test]
fn a_tampered_payload_or_another_secret_is_refused() {
    let token = signed(&json!({"alg": "HS256"}), &claims());
    let parts: Vec<_> = token.split('.').collect();
    let forged = format!(
        "{}.{}.{}",
        parts[0],
        part(&with("role", json!("admin"))),
        parts[2]
    );
    assert_eq!(verify(&forged), Err(AuthError::Invalid));
    let other = JwtConfig::from_env(&mut Env::from_pairs([(
        "JWT_SECRET",
        "another-secret-of-at-least-32-bytes",
    )]));
    assert_eq!(
        Verifier::new(&other).verify(&token),
        Err(AuthError::Invalid)
    );
}

#[test]
fn what_is_no_token_is_malformed() {
    for text in ["", "a", "a.b", "a.b.c.d", "!.!.!"] {
        assert_eq!(verify(text), Err(AuthError::Malformed), "{text:?}");
    }
}
