//! What the cache needs to know.

use std::time::Duration;

use platform::config::{Env, redis_url};
use secrecy::SecretString;

/// The settings of the cache.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// `CACHE_TTL_SECONDS`, default 300, at most a day: how long an answer is kept. 0: nothing
    /// is kept.
    pub ttl: Duration,
    /// `CACHE_MAX_BYTES`, default 64 MiB: memory for answers.
    pub max_bytes: u64,
    /// `REDIS_URL`: where instances share their answers.
    pub redis_url: Option<SecretString>,
    /// `CACHE_REDIS_TIMEOUT_MS`, default 50, at most 1000: the longest an answer waits for
    /// Redis, which is away when it takes longer.
    pub redis_timeout: Duration,
}

impl CacheConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let day = Duration::from_secs(86_400);
        let timeout = Duration::from_millis(1)..=Duration::from_secs(1);
        Self {
            ttl: env.seconds(
                "CACHE_TTL_SECONDS",
                Duration::from_secs(300),
                Duration::ZERO..=day,
            ),
            max_bytes: env.number("CACHE_MAX_BYTES", 64 << 20, 0..=1 << 40),
            redis_url: redis_url(env),
            redis_timeout: env.millis("CACHE_REDIS_TIMEOUT_MS", Duration::from_millis(50), timeout),
        }
    }
}
