//! What the query API needs to know.

use std::time::Duration;

use platform::config::{DatabaseConfig, Env, JwtConfig, RateLimitConfig, aggregation_windows};
use schemas::Window;

/// The service's settings.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Where the rollups are.
    pub database: DatabaseConfig,
    /// What a bearer token must hold.
    pub jwt: JwtConfig,
    /// How much may be asked by whom.
    pub rate_limits: RateLimitConfig,
    /// `AGGREGATION_WINDOWS`, default all five, as of the sink: which rollups are kept and
    /// can be asked for. Shortest first.
    pub windows: Vec<Window>,
    /// `SLOW_QUERY_MS`, default 1000: a query that takes longer is logged.
    pub slow_query: Duration,
}

impl QueryConfig {
    /// Reads the settings; faults are left in `env`.
    pub fn from_env(env: &mut Env) -> Self {
        let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
        Self {
            database: DatabaseConfig::from_env(env),
            jwt: JwtConfig::from_env(env),
            rate_limits: RateLimitConfig::from_env(env),
            windows: aggregation_windows(env),
            slow_query: env.millis("SLOW_QUERY_MS", Duration::from_secs(1), bounds),
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
        for name in ["DATABASE_URL", "JWT_SECRET", "SLOW_QUERY_MS"] {
            assert!(faults.contains(name), "{faults}");
        }
    }
}
