//! Signed messages, as <https://www.standardwebhooks.com> has them.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use url::Url;
use uuid::Uuid;

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to tell, and what messages are signed with.
#[derive(Clone)]
pub(crate) struct WebhookConfig {
    pub(super) url: Url,
    pub(super) key: SecretSlice<u8>,
}

/// The address may hold a secret, too.
impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// The key of a secret: `whsec_` and base64 of 24 to 64 bytes.
pub(super) fn key(secret: &SecretString) -> Option<SecretSlice<u8>> {
    let encoded = secret.expose_secret().strip_prefix("whsec_")?;
    let key = BASE64_STANDARD.decode(encoded).ok()?;
    let sound = (24..=64).contains(&key.len());
    sound.then(|| SecretSlice::from(key))
}

/// `v1,` and base64 of the HMAC-SHA-256 of a message's id, its time of sending in seconds since
/// 1970, and its body, joined by dots.
fn signature(key: &SecretSlice<u8>, id: &str, timestamp: i64, body: &str) -> String {
    let key = key.expose_secret();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// Who is told.
pub(super) struct Webhook {
    config: WebhookConfig,
    client: reqwest::Client,
}

impl Webhook {
    pub(super) fn new(config: WebhookConfig) -> anyhow::Result<Self> {
        // What is signed for one receiver is not handed to another.
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none());
        Ok(Self {
            config,
            client: client.build()?,
        })
    }

    /// Delivers a message; only an answer of success counts. A receiver that had it already
    /// knows it by its id.
    pub(super) async fn deliver(&self, id: Uuid, body: String) -> anyhow::Result<()> {
        let (id, timestamp) = (format!("msg_{}", id.simple()), Utc::now().timestamp());
        let signature = signature(&self.config.key, &id, timestamp, &body);
        let request = self
            .client
            .post(self.config.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        // The error's own text has the address, which may hold a secret.
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let status = sent.context("the webhook cannot be reached")?.status();
        ensure!(status.is_success(), "the webhook answered {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the libraries of Standard Webhooks.
    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        let key = key(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signature(&key, id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_that_is_short_or_has_no_prefix_is_none() {
        for wrong in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_%",
        ] {
            assert!(key(&wrong.into()).is_none(), "{wrong}");
        }
    }
}
