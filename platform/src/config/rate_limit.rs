//! The section for rate limits, and where Redis is.

use std::time::Duration;

use secrecy::SecretString;

use super::Env;

/// How much more events may come in batches than alone.
const BATCH_FACTOR: u32 = 10;
/// The most requests of a limit that can be set; batches take ten times that.
const MOST: u32 = 1_000_000;

/// How many units of each class may come in a window. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassLimits {
    /// Requests with one event.
    pub single: u32,
    /// Events in batches.
    pub batch: u32,
    /// Requests that read.
    pub read: u32,
}

/// How much may come from whom.
#[derive(Debug, Clone)]
pub struct RateLimitConfig {
    /// `RATE_LIMIT_WINDOW_MS`, default 60 000, from a second to an hour: what the limits are
    /// counted in.
    pub window: Duration,
    /// Of an organization. `RATE_LIMIT_MAX_REQUESTS` (1000) for single events,
    /// `RATE_LIMIT_BATCH_EVENTS` (ten times that) for the events of batches, and
    /// `RATE_LIMIT_READS` (as single events) for reads.
    pub organization: ClassLimits,
    /// Of each user within the organization. `RATE_LIMIT_USER_MAX_REQUESTS`, by default none:
    /// a user may use all of the organization's limit. In batches ten times that.
    pub user: ClassLimits,
    /// `REDIS_URL`: where instances share their limits; without it each has its own.
    pub redis_url: Option<SecretString>,
    /// `RATE_LIMIT_REDIS_TIMEOUT_MS`, default 50, at most 1000: the longest a request waits
    /// for Redis, which is away when it takes longer.
    pub redis_timeout: Duration,
}

impl RateLimitConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let window = Duration::from_secs(1)..=Duration::from_secs(3600);
        let window = env.millis("RATE_LIMIT_WINDOW_MS", Duration::from_secs(60), window);
        let single = env.number("RATE_LIMIT_MAX_REQUESTS", 1000, 0..=MOST);
        let user = env.number("RATE_LIMIT_USER_MAX_REQUESTS", 0, 0..=MOST);
        let batch = single * BATCH_FACTOR;
        Self {
            window,
            organization: ClassLimits {
                single,
                batch: env.number("RATE_LIMIT_BATCH_EVENTS", batch, 0..=MOST * BATCH_FACTOR),
                read: env.number("RATE_LIMIT_READS", single, 0..=MOST),
            },
            user: ClassLimits {
                single: user,
                batch: user * BATCH_FACTOR,
                read: user,
            },
            redis_url: redis_url(env),
            redis_timeout: env.millis(
                "RATE_LIMIT_REDIS_TIMEOUT_MS",
                Duration::from_millis(50),
                Duration::from_millis(1)..=Duration::from_secs(1),
            ),
        }
    }
}

/// `REDIS_URL`, secret because it may hold a password.
pub fn redis_url(env: &mut Env) -> Option<SecretString> {
    env.optional("REDIS_URL")?;
    env.parsed("REDIS_URL", "", |value| {
        redis::Client::open(value)
            .map(|_| SecretString::from(value))
            .map_err(|_| "must be a URL such as redis://host:6379/0 or rediss://host")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> RateLimitConfig {
        let mut env = Env::from_pairs(pairs.iter().copied());
        let config = RateLimitConfig::from_env(&mut env);
        env.finish().unwrap();
        config
    }

    fn limits(single: u32, batch: u32, read: u32) -> ClassLimits {
        ClassLimits {
            single,
            batch,
            read,
        }
    }

    #[test]
    fn without_variables_the_documented_defaults_hold() {
        let config = read(&[]);
        assert_eq!(config.window, Duration::from_secs(60));
        assert_eq!(config.organization, limits(1000, 10_000, 1000));
        assert_eq!(config.user, limits(0, 0, 0));
        assert!(config.redis_url.is_none());
    }

    #[test]
    fn one_variable_sets_or_ends_all_limits_and_each_may_differ() {
        let config = read(&[("RATE_LIMIT_MAX_REQUESTS", "0")]);
        assert_eq!(config.organization, limits(0, 0, 0));
        let config = read(&[
            ("RATE_LIMIT_MAX_REQUESTS", "50"),
            ("RATE_LIMIT_READS", "7"),
            ("RATE_LIMIT_USER_MAX_REQUESTS", "5"),
        ]);
        assert_eq!(config.organization, limits(50, 500, 7));
        assert_eq!(config.user, limits(5, 50, 5));
        let config = read(&[("RATE_LIMIT_BATCH_EVENTS", "10000000")]);
        assert_eq!(config.organization, limits(1000, 10_000_000, 1000));
    }

    #[test]
    fn redis_may_want_tls_and_a_password_which_is_not_in_debug() {
        let config = read(&[("REDIS_URL", "rediss://user:hush@redis.example:6380/1")]);
        assert!(config.redis_url.is_some());
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn faults_come_together_and_without_the_password() {
        let mut env = Env::from_pairs([
            ("RATE_LIMIT_WINDOW_MS", "999"),
            ("RATE_LIMIT_MAX_REQUESTS", "-1"),
            ("REDIS_URL", "http://u:hush@h"),
        ]);
        RateLimitConfig::from_env(&mut env);
        let faults = env.finish().unwrap_err();
        assert_eq!(faults.faults().len(), 3, "{faults}");
        assert!(!faults.to_string().contains("hush"), "{faults}");
    }
}
