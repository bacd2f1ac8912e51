//! Tokens that look signed by an issuer's key and are not.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{
    AuthError, MAX_TOKEN_BYTES, Refusal,
    test_issuer::{World, ask, body},
    test_keys::{TestKey, claims, claims_with, now, part, signed},
};

#[tokio::test]
async fn every_forgery_gets_the_same_answer() {
    let (rsa, p256, ed) = (
        TestKey::rsa("rsa"),
        TestKey::p256("p256"),
        TestKey::ed25519("ed"),
    );
    let world = World::publishing(&[rsa.jwk(), p256.jwk(), ed.jwk()]).await;
    let verifier = Arc::new(world.verifier().await);
    let header = |algorithm: &str, kid: &str| json!({"alg": algorithm, "kid": kid});
    let with = |name: &str, value: Value| {
        rsa.signed(&header("RS256", "rsa"), &claims_with(name, Some(value)))
    };
    let mut forged = vec![
        (Refusal::Signature, TestKey::other_rsa("rsa").token()),
        // The header names another key than the one that signed, or another algorithm.
        (
            Refusal::Algorithm,
            rsa.signed(&header("RS256", "p256"), &claims()),
        ),
        (
            Refusal::Algorithm,
            rsa.signed(&header("ES256", "rsa"), &claims()),
        ),
        (
            Refusal::Algorithm,
            rsa.clone().with_algorithm(Algorithm::PS256).token(),
        ),
        (
            Refusal::Signature,
            ed.signed(&header("ES256", "p256"), &claims()),
        ),
        (Refusal::UnknownKey, TestKey::other_rsa("other").token()),
        (
            Refusal::CriticalExtension,
            rsa.signed(
                &json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false}),
                &claims(),
            ),
        ),
        (Refusal::Expired, with("exp", json!(now() - 60))),
        (Refusal::NotYetValid, with("nbf", json!(now() + 60))),
        (Refusal::Audience, with("aud", json!("someone"))),
        (Refusal::Issuer, with("iss", json!("someone"))),
        (Refusal::Claims, with("role", json!("root"))),
        (Refusal::Malformed, "a.b.c".to_owned()),
        (Refusal::TooLong, "a".repeat(MAX_TOKEN_BYTES + 1)),
        // A key that the token brings along is not looked at.
        (Refusal::Signature, {
            let own = TestKey::other_rsa("rsa");
            own.signed(
                &json!({"alg": "RS256", "kid": "rsa", "jwk": own.jwk()}),
                &claims(),
            )
        }),
    ];
    for key in [&rsa, &p256, &ed] {
        for text in key.public_texts() {
            let secret = EncodingKey::from_secret(&text);
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = json!({"alg": algorithm, "kid": key.kid});
                forged.push((
                    Refusal::Algorithm,
                    signed(&secret, algorithm, &header, &claims()),
                ));
            }
            let claimed = json!({"alg": key.algorithm, "kid": key.kid});
            let token = signed(&secret, Algorithm::HS256, &claimed, &claims());
            forged.push((Refusal::Signature, token));
        }
        for algorithm in ["none", "None", "NONE", ""] {
            let header = part(&header(algorithm, key.kid));
            forged.push((Refusal::Algorithm, format!("{header}.{}.", part(&claims()))));
        }
        let claimed = part(&json!({"alg": key.algorithm, "kid": key.kid}));
        forged.push((
            Refusal::Signature,
            format!("{claimed}.{}.", part(&claims())),
        ));
    }
    let mut bodies = Vec::new();
    for (refusal, token) in forged {
        let verdict = verifier.verify(&token).await;
        assert_eq!(verdict, Err(AuthError::Invalid(refusal)), "{token}");
        let answer = ask(&verifier, Some(&token)).await;
        assert_eq!(answer.status(), 401);
        let challenge = "Bearer realm=\"flowmeter\", error=\"invalid_token\"";
        assert_eq!(answer.headers()["www-authenticate"], challenge);
        bodies.push(body(answer).await);
    }
    assert_eq!(bodies[0]["code"], "token_invalid");
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}
