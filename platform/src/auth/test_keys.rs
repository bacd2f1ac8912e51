//! Keys for tests only, and the key sets and tokens that are made with them.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKeyKind, EncodingKey, crypto::sign, get_current_timestamp,
    jwk::Jwk,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// A key pair, as an issuer has it.
#[derive(Clone)]
pub(super) struct TestKey {
    pub(super) kid: &'static str,
    pub(super) algorithm: Algorithm,
    signing: EncodingKey,
}

impl TestKey {
    fn new(kid: &'static str, algorithm: Algorithm, pem: &str) -> Self {
        let lines = pem.lines().filter(|line| !line.starts_with('-'));
        let der = BASE64_STANDARD.decode(lines.collect::<String>()).unwrap();
        let signing = match algorithm.family() {
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_der(&der),
            AlgorithmFamily::Ec => EncodingKey::from_ec_der(&der),
            AlgorithmFamily::Ed => EncodingKey::from_ed_der(&der),
            AlgorithmFamily::Hmac => unreachable!("a pair is asymmetric"),
        };
        Self {
            kid,
            algorithm,
            signing,
        }
    }

    pub(super) fn rsa(kid: &'static str) -> Self {
        let pem = include_str!("testdata/test-only-rsa-2048-a.pem");
        Self::new(kid, Algorithm::RS256, pem)
    }

    pub(super) fn other_rsa(kid: &'static str) -> Self {
        let pem = include_str!("testdata/test-only-rsa-2048-b.pem");
        Self::new(kid, Algorithm::RS256, pem)
    }

    pub(super) fn weak_rsa(kid: &'static str) -> Self {
        let pem = include_str!("testdata/test-only-rsa-1024.pem");
        Self::new(kid, Algorithm::RS256, pem)
    }

    pub(super) fn p256(kid: &'static str) -> Self {
        let pem = include_str!("testdata/test-only-p256.pem");
        Self::new(kid, Algorithm::ES256, pem)
    }

    pub(super) fn p384(kid: &'static str) -> Self {
        let pem = include_str!("testdata/test-only-p384.pem");
        Self::new(kid, Algorithm::ES384, pem)
    }

    pub(super) fn ed25519(kid: &'static str) -> Self {
        let pem = include_str!("testdata/test-only-ed25519.pem");
        Self::new(kid, Algorithm::EdDSA, pem)
    }

    /// The same pair, meant for another algorithm of its family.
    pub(super) fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The public half, with `kid`, `alg` and `use`.
    pub(super) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.signing, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public half with one member changed, or taken away by `null`.
    pub(super) fn jwk_with(&self, member: &str, value: Value) -> Value {
        let mut jwk = self.jwk();
        let members = jwk.as_object_mut().unwrap();
        members.insert(member.to_owned(), value);
        members.retain(|_, value| !value.is_null());
        jwk
    }

    /// A token that is sound.
    pub(super) fn token(&self) -> String {
        let header = json!({"alg": self.algorithm, "typ": "JWT", "kid": self.kid});
        self.signed(&header, &claims())
    }

    /// Any header over any claims, signed with this key by its algorithm.
    pub(super) fn signed(&self, header: &Value, claims: &Value) -> String {
        signed(&self.signing, self.algorithm, header, claims)
    }

    /// What forgers try as a secret: everything that is public of the key.
    pub(super) fn public_texts(&self) -> Vec<Vec<u8>> {
        let jwk: Jwk = serde_json::from_value(self.jwk()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let mut texts = vec![self.jwk().to_string().into_bytes()];
        match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => texts.push(bytes.clone()),
            DecodingKeyKind::RsaModulusExponent { n, e } => texts.extend([n.clone(), e.clone()]),
        }
        texts
    }
}

/// Any header over any claims, signed with this key.
pub(super) fn signed(
    key: &EncodingKey,
    algorithm: Algorithm,
    header: &Value,
    claims: &Value,
) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

pub(super) fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A key set of these keys.
pub(super) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub(super) fn now() -> u64 {
    get_current_timestamp()
}

/// Claims that hold.
pub(super) fn claims() -> Value {
    json!({
        "sub": Uuid::from_u128(1), "organization_id": Uuid::from_u128(2), "role": "manager",
        "exp": now() + 60, "iat": now(), "iss": "flowmeter", "aud": "flowmeter",
    })
}

/// Claims with one changed, or taken away by `None`.
pub(super) fn claims_with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    claims
}
