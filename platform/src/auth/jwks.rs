//! A set of public keys (RFC 7517), each bound to one algorithm.

use anyhow::Context;
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::{Refusal, header::TokenHeader};

/// RSA keys that are accepted (bits): at least as RFC 7518 section 3.3 demands, at most as
/// the library verifies with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The keys that tokens may be signed with.
#[derive(Debug)]
pub(super) struct KeySet(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    jwk: Jwk,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A key of a set that is of no use here, and why: for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ignored {
    pub(super) key_id: Option<String>,
    pub(super) reason: &'static str,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// The set's keys that can verify by one of the `accepted` algorithms, and the others.
    /// Keys that are not understood are no fault (RFC 7517, section 5).
    ///
    /// # Errors
    /// When the text is no key set.
    pub(super) fn parse(
        json: &[u8],
        accepted: &[Algorithm],
    ) -> anyhow::Result<(Self, Vec<Ignored>)> {
        let document: Document = serde_json::from_slice(json).context("it is no JWK set")?;
        let (mut keys, mut ignored) = (Vec::<PublicKey>::new(), Vec::new());
        for key in document.keys {
            let key_id = key.get("kid").and_then(Value::as_str).map(str::to_owned);
            let usable = PublicKey::read(key, accepted).and_then(|key| {
                // Of two keys that cannot be told apart the first counts.
                let repeated = keys.iter().any(|known| known.is_called_like(&key));
                (!repeated).then_some(key).ok_or("repeats another's kid")
            });
            match usable {
                Ok(key) => keys.push(key),
                Err(reason) => ignored.push(Ignored { key_id, reason }),
            }
        }
        Ok((Self(keys), ignored))
    }

    /// The key that a token with this header must have been signed with.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] when the set does not have it; [`Refusal::Algorithm`] when it
    /// is meant for another algorithm.
    pub(super) fn find(&self, header: &TokenHeader) -> Result<&DecodingKey, Refusal> {
        let named =
            |key: &&PublicKey| header.key_id.is_none() || key.jwk.common.key_id == header.key_id;
        let mut fitting = self
            .0
            .iter()
            .filter(named)
            .filter(|key| key.algorithm == header.algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.key),
            (None, _) if header.key_id.is_some() && self.0.iter().any(|key| named(&key)) => {
                Err(Refusal::Algorithm)
            }
            // Without a name a token's key must not be a guess.
            _ => Err(Refusal::UnknownKey),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether both hold the same keys in the same order.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.0
            .iter()
            .map(|key| &key.jwk)
            .eq(other.0.iter().map(|key| &key.jwk))
    }
}

impl PublicKey {
    fn read(json: Value, accepted: &[Algorithm]) -> Result<Self, &'static str> {
        // `d` is the private part of every asymmetric type: whoever reads the set can sign.
        if json.get("d").is_some() {
            return Err("is a private key, and public now");
        }
        let jwk: Jwk = serde_json::from_value(json).map_err(|_| "cannot be read")?;
        if !matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        ) {
            return Err("is not for signatures, by its use");
        }
        if let Some(operations) = &jwk.common.key_operations
            && !operations.contains(&KeyOperations::Verify)
        {
            return Err("is not for verifying, by its key_ops");
        }
        let algorithm = algorithm(&jwk)?;
        if !accepted.contains(&algorithm) {
            return Err("has an algorithm that is not in JWT_ALGORITHMS");
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| "cannot be read")?;
        check(&key, algorithm)?;
        Ok(Self {
            jwk,
            algorithm,
            key,
        })
    }

    /// Whether a token that means one of them would mean the other too. Keys without a name
    /// are told apart by nothing: [`KeySet::find`] takes one only if it is alone.
    fn is_called_like(&self, other: &Self) -> bool {
        self.jwk.common.key_id.is_some()
            && self.jwk.common.key_id == other.jwk.common.key_id
            && self.algorithm == other.algorithm
    }
}

/// The one algorithm of a key: its `alg`, which must fit its type, or its type's own.
fn algorithm(jwk: &Jwk) -> Result<Algorithm, &'static str> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let fitting: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[EdDSA],
        AlgorithmParameters::OctetKey(_) => return Err("is symmetric"),
        _ => return Err("has a type or a curve that is not supported"),
    };
    match jwk.common.key_algorithm {
        None => Ok(fitting[0]),
        Some(named) => Algorithm::try_from(named)
            .ok()
            .filter(|named| fitting.contains(named))
            .ok_or("has an alg that does not fit its type"),
    }
}

/// Finds keys that would fail, or worse, at the first token: the library looks at a key only
/// when it verifies, and a short Ed25519 key is one it panics at.
fn check(key: &DecodingKey, algorithm: Algorithm) -> Result<(), &'static str> {
    if let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() {
        return check_rsa(n, e);
    }
    if algorithm == Algorithm::EdDSA && key.try_get_as_bytes().map_or(0, <[u8]>::len) != 32 {
        return Err("is no point of its curve");
    }
    match crypto::verify("", b"", key, algorithm) {
        Ok(_) => Ok(()),
        Err(_) => Err("is no point of its curve"),
    }
}

fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), &'static str> {
    let bits = bits(modulus);
    if bits < *RSA_BITS.start() {
        return Err("is an RSA key of less than 2048 bits");
    }
    if bits > *RSA_BITS.end() {
        return Err("is an RSA key of more than 4096 bits");
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    // The library's bounds of an exponent are 2 and 2^33 - 1.
    if !odd(modulus) || !odd(exponent) || !(2..=33).contains(&self::bits(exponent)) {
        return Err("is no RSA key");
    }
    Ok(())
}

/// The bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    match number.get(zeros) {
        None => 0,
        Some(first) => (number.len() - zeros) * 8 - first.leading_zeros() as usize,
    }
}
