//! Configuration from environment variables.
//!
//! [`Env`] is a snapshot of the variables that collects every fault it meets,
//! so that a person mends a configuration once and not once per fault. The
//! sections hold what several services share; a service's own struct is built
//! from the same `Env`, and `finish` is asked once at the end.

mod env;
mod faults;
mod http;
mod jwt;
mod rate_limit;
mod sections;
mod stores;

pub use env::{Env, parse_span};
pub use faults::{ConfigFault, ConfigFaults};
pub use http::{AdminConfig, CorsOrigins, HttpConfig, IntakeConfig};
pub use jwt::{JWT_SECRET_MIN_BYTES, JwksConfig, JwtConfig, JwtKeys};
pub use rate_limit::{ClassLimits, RateLimitConfig, redis_url};
pub use sections::{
    LogConfig, LogFormat, ServiceIdentity, aggregation_windows, data_retention,
    deprecated_variables,
};
pub use stores::{DatabaseConfig, KafkaConfig, KafkaProperties};
