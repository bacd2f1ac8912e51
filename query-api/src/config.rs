//! What the query API needs to know.

use std::time::Duration;

use platform::config::{
    DatabaseConfig, Env, JwtConfig, RateLimitConfig, ServiceIdentity, aggregation_windows,
};
use schemas::Window;

use crate::cache::CacheConfig;
use crate::live::LiveConfig;

/// The service's settings.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Where the rollups are.
    pub database: DatabaseConfig,
    /// What a bearer token must hold.
    pub jwt: JwtConfig,
    /// How much may be asked by whom.
    pub rate_limits: RateLimitConfig,
    /// `INSTANCE_ID`: which of several instances this is.
    pub instance_id: String,
    /// What answers are kept, and where.
    pub cache: CacheConfig,
    /// `AGGREGATION_WINDOWS`, default all five, as of the sink: which rollups are kept and
    /// can be asked for. Shortest first.
    pub windows: Vec<Window>,
    /// `SLOW_QUERY_MS`, default 1000: a query that takes longer is logged.
    pub slow_query: Duration,
    /// Live views.
    pub live: LiveConfig,
    /// `EXPORT_MAX_CONCURRENT`, default 4: more exports at a time are refused. Each holds a
    /// connection of the pool while it reads.
    pub max_exports: usize,
}

impl QueryConfig {
    /// Reads the settings; faults are left in `env`.
    pub fn from_env(env: &mut Env) -> Self {
        let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
        Self {
            database: DatabaseConfig::from_env(env),
            jwt: JwtConfig::from_env(env),
            rate_limits: RateLimitConfig::from_env(env),
            instance_id: ServiceIdentity::from_env(env).instance_id,
            cache: CacheConfig::from_env(env),
            windows: aggregation_windows(env),
            slow_query: env.millis("SLOW_QUERY_MS", Duration::from_secs(1), bounds),
            live: LiveConfig::from_env(env),
            max_exports: env.number("EXPORT_MAX_CONCURRENT", 4, 1..=1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_found_together() {
        let mut env = Env::from_pairs([("SLOW_QUERY_MS", "0")]);
        QueryConfig::from_env(&mut env);
        let faults = env.finish().unwrap_err().to_string();
        for name in [
            "DATABASE_URL",
            "JWT_SECRET",
            "SLOW_QUERY_MS",
            "KAFKA_BROKERS",
        ] {
            assert!(faults.contains(name), "{faults}");
        }
    }
}
