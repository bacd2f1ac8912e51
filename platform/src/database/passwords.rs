//! Passwords of the services' roles: derived when none is given, and handed to
//! the server as SCRAM verifiers, so that no statement or server log holds one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// PostgreSQL's own default.
const ITERATIONS: u32 = 4096;

/// HMAC-SHA-256 of the role's name, keyed with the owner's password, in hex.
pub(super) fn derive(owner_password: &SecretString, role: &str) -> SecretString {
    let message = format!("flowmeter database role {role}");
    let mac = hmac(
        owner_password.expose_secret().as_bytes(),
        message.as_bytes(),
    );
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.into()
}

/// What PostgreSQL stores for a password: RFC 5803's SCRAM-SHA-256 verifier.
///
/// The password is taken as it is, without SASLprep: as the server and the
/// driver do with what SASLprep leaves alone (any ASCII, our derived ones).
pub(super) fn scram_verifier(password: &SecretString, salt: &[u8; 16]) -> String {
    let salted = salted_password(password.expose_secret().as_bytes(), salt);
    let stored_key = Sha256::digest(hmac(&salted, b"Client Key"));
    let server_key = hmac(&salted, b"Server Key");
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    )
}

/// `Hi` of RFC 5802: PBKDF2 with HMAC-SHA-256 and one block.
fn salted_password(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut block = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = block;
    for _ in 1..ITERATIONS {
        block = hmac(password, &block);
        for (total, byte) in sum.iter_mut().zip(block) {
            *total ^= byte;
        }
    }
    sum
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3 ("pencil").
    #[test]
    fn the_salted_password_is_the_one_of_the_standard() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted_password(b"pencil", &salt);
        assert_eq!(
            STANDARD.encode(hmac(&salted, b"Server Key")),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
