//! Which keys of a set are of use, and which one a token means.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{
    Refusal,
    header::TokenHeader,
    jwks::KeySet,
    test_keys::{TestKey, key_set},
};

const ALL: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

fn parse(keys: &[Value], accepted: &[Algorithm]) -> (KeySet, Vec<&'static str>) {
    let (set, ignored) = KeySet::parse(key_set(keys).as_bytes(), accepted).unwrap();
    (set, ignored.into_iter().map(|key| key.reason).collect())
}

fn find(set: &KeySet, key_id: Option<&str>, algorithm: Algorithm) -> Result<(), Refusal> {
    let key_id = key_id.map(str::to_owned);
    set.find(&TokenHeader { algorithm, key_id }).map(|_| ())
}

#[test]
fn a_key_without_alg_is_bound_to_the_one_of_its_type() {
    for key in [
        TestKey::rsa("k"),
        TestKey::p256("k"),
        TestKey::p384("k"),
        TestKey::ed25519("k"),
    ] {
        let (set, ignored) = parse(&[key.jwk_with("alg", Value::Null)], &ALL);
        assert_eq!(ignored, [""; 0]);
        for algorithm in ALL {
            let expected = if algorithm == key.algorithm {
                Ok(())
            } else {
                Err(Refusal::Algorithm)
            };
            assert_eq!(find(&set, Some("k"), algorithm), expected, "{algorithm:?}");
        }
    }
}

#[test]
fn a_key_is_bound_to_its_alg() {
    let key = TestKey::rsa("k").with_algorithm(Algorithm::PS384);
    let (set, _) = parse(&[key.jwk()], &ALL);
    assert_eq!(find(&set, Some("k"), Algorithm::PS384), Ok(()));
    assert_eq!(
        find(&set, Some("k"), Algorithm::RS256),
        Err(Refusal::Algorithm)
    );
}

#[test]
fn keys_of_no_use_are_ignored_and_each_says_why() {
    let (rsa, p256, ed) = (TestKey::rsa("k"), TestKey::p256("k"), TestKey::ed25519("k"));
    let short = json!("AAAA");
    for (key, reason) in [
        (rsa.jwk_with("use", json!("enc")), "is not for signatures"),
        (
            rsa.jwk_with("key_ops", json!(["sign"])),
            "is not for verifying",
        ),
        (
            rsa.jwk_with("alg", json!("HS256")),
            "has an alg that does not fit",
        ),
        (
            rsa.jwk_with("alg", json!("ES256")),
            "has an alg that does not fit",
        ),
        (
            rsa.jwk_with("alg", json!("RSA-OAEP")),
            "has an alg that does not fit",
        ),
        (
            rsa.jwk_with("alg", json!("none")),
            "has an alg that does not fit",
        ),
        (
            p256.jwk_with("alg", json!("ES384")),
            "has an alg that does not fit",
        ),
        (rsa.jwk_with("d", short.clone()), "is a private key"),
        (
            TestKey::weak_rsa("k").jwk(),
            "is an RSA key of less than 2048 bits",
        ),
        (rsa.jwk_with("e", json!("AQ")), "is no RSA key"),
        (rsa.jwk_with("e", json!("AA")), "is no RSA key"),
        (rsa.jwk_with("e", Value::Null), "has a type"),
        (rsa.jwk_with("n", json!("not base64!")), "cannot be read"),
        (
            rsa.jwk_with("n", json!("A".repeat(6000))),
            "is an RSA key of less",
        ),
        (
            rsa.jwk_with("n", json!("_".repeat(6000))),
            "is an RSA key of more",
        ),
        (
            p256.jwk_with("x", short.clone()),
            "is no point of its curve",
        ),
        (
            p256.jwk_with("crv", json!("P-521")),
            "has a type or a curve",
        ),
        (ed.jwk_with("x", short), "is no point of its curve"),
        (
            ed.jwk_with("x", json!("A".repeat(60))),
            "is no point of its curve",
        ),
        (ed.jwk_with("crv", json!("X25519")), "has a type or a curve"),
        (
            json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "HS256"}),
            "is symmetric",
        ),
        (json!({"kty": "AKP", "kid": "k"}), "has a type or a curve"),
        (json!("key"), "cannot be read"),
        (
            TestKey::p384("k").jwk(),
            "has an algorithm that is not in JWT_ALGORITHMS",
        ),
    ] {
        let accepted = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
        // The sound one beside it is not lost for it.
        let beside = TestKey::other_rsa("beside");
        let (set, ignored) = parse(&[key.clone(), beside.jwk()], &accepted);
        assert!(
            ignored.len() == 1 && ignored[0].starts_with(reason),
            "{key}: {ignored:?}"
        );
        assert_eq!(set.len(), 1);
        assert_eq!(find(&set, Some("beside"), Algorithm::RS256), Ok(()));
        assert_eq!(
            find(&set, Some("k"), Algorithm::HS256),
            Err(Refusal::UnknownKey)
        );
    }
}

#[test]
fn keys_share_a_name_only_if_their_algorithms_differ() {
    let (set, ignored) = parse(
        &[
            TestKey::rsa("k").jwk(),
            TestKey::p256("k").jwk(),
            TestKey::other_rsa("k").jwk(),
        ],
        &ALL,
    );
    assert_eq!(ignored, ["repeats another's kid"]);
    assert_eq!(find(&set, Some("k"), Algorithm::RS256), Ok(()));
    assert_eq!(find(&set, Some("k"), Algorithm::ES256), Ok(()));
}

#[test]
fn without_a_name_a_token_means_a_key_only_if_one_alone_fits() {
    let unknown = Err(Refusal::UnknownKey);
    let (set, _) = parse(&[TestKey::rsa("a").jwk(), TestKey::p256("b").jwk()], &ALL);
    assert_eq!(find(&set, None, Algorithm::RS256), Ok(()));
    assert_eq!(find(&set, None, Algorithm::ES256), Ok(()));
    assert_eq!(find(&set, None, Algorithm::EdDSA), unknown);
    let nameless = TestKey::other_rsa("").jwk_with("kid", Value::Null);
    let (set, ignored) = parse(&[TestKey::rsa("a").jwk(), nameless.clone(), nameless], &ALL);
    assert_eq!(ignored, [""; 0]);
    assert_eq!(find(&set, None, Algorithm::RS256), unknown);
    assert_eq!(find(&set, Some("a"), Algorithm::RS256), Ok(()));
    assert_eq!(find(&set, Some("b"), Algorithm::RS256), unknown);
}

#[test]
fn what_is_no_set_is_a_fault_and_an_empty_one_is_none() {
    for text in ["", "null", "[]", "{}", r#"{"keys": 1}"#, "<html>"] {
        assert!(KeySet::parse(text.as_bytes(), &ALL).is_err(), "{text:?}");
    }
    assert_eq!(parse(&[], &ALL).0.len(), 0);
}
