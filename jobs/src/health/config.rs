//! Thresholds, and whom to tell.

use std::time::Duration;

use platform::config::Env;
use secrecy::SecretString;
use url::Url;

use super::webhook::{WebhookConfig, key};

/// Above which values alerts fire; 0 turns a condition off.
#[derive(Debug, Clone)]
pub(crate) struct HealthConfig {
    /// `ALERT_WINDOW`, default `15m`: how far back commands count.
    pub(super) window: Duration,
    /// `ALERT_MIN_COMMANDS`, default 20: of fewer nothing is said.
    pub(super) min_commands: u64,
    /// `ALERT_ERROR_RATE`, default 0.25: share of an organization's commands with error or
    /// timeout.
    pub(super) error_rate: f64,
    /// `ALERT_P95_MS`, default 60 000: 95th percentile of an organization's execution times.
    pub(super) p95_ms: f64,
    /// `ALERT_LAG_RECORDS`, default 100 000: what a consumer has not read yet.
    pub(super) lag: f64,
    /// `ALERT_WATERMARK_AGE`, default `15m`.
    pub(super) watermark_age: f64,
    /// `MAX_MEMORY_MB`, default 512: of the process that runs the jobs.
    pub(super) memory_mb: f64,
    /// `ALERT_DATABASE_GB`, default 0: of the database.
    pub(super) database_gb: f64,
    /// `ALERT_WEBHOOK_URL` and `ALERT_WEBHOOK_SECRET`.
    pub(super) webhook: Option<WebhookConfig>,
}

impl HealthConfig {
    pub(crate) fn from_env(env: &mut Env) -> Self {
        let minute = Duration::from_secs(60);
        let quarter = 15 * minute;
        let day = 24 * 60 * minute;
        Self {
            window: env.span("ALERT_WINDOW", quarter, minute..=day),
            min_commands: env.number("ALERT_MIN_COMMANDS", 20, 1..=1_000_000_000),
            error_rate: env.number("ALERT_ERROR_RATE", 0.25, 0.0..=1.0),
            p95_ms: env.number("ALERT_P95_MS", 60_000.0, 0.0..=3_600_000.0),
            lag: env.number("ALERT_LAG_RECORDS", 100_000.0, 0.0..=1e15),
            watermark_age: env
                .span("ALERT_WATERMARK_AGE", quarter, Duration::ZERO..=31 * day)
                .as_secs_f64(),
            memory_mb: env.number("MAX_MEMORY_MB", 512.0, 0.0..=1e9),
            database_gb: env.number("ALERT_DATABASE_GB", 0.0, 0.0..=1e9),
            webhook: webhook(env),
        }
    }
}

fn webhook(env: &mut Env) -> Option<WebhookConfig> {
    env.optional("ALERT_WEBHOOK_URL")?;
    let url = env.parsed("ALERT_WEBHOOK_URL", "", |text| match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err("must be a URL that begins with https:// or http://"),
    });
    let secret: Option<SecretString> = env.secret("ALERT_WEBHOOK_SECRET");
    let key = secret.as_ref().and_then(key);
    if key.is_none() {
        env.fault(
            "ALERT_WEBHOOK_SECRET",
            "must be whsec_ and then 24 to 64 bytes in base64, as the webhook's messages are signed with it",
        );
    }
    Some(WebhookConfig {
        url: url?,
        key: key?,
    })
}
