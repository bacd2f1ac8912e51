//! Real parts for tests: a database and topics of one's own, gone afterwards.
//!
//! The addresses come from the environment, as `make test` sets it; without
//! them a test fails and says so, rather than passing untried.

mod database;
mod eventually;
mod topics;

pub use self::database::TestDatabase;
pub use self::eventually::eventually;
pub use self::topics::TestTopics;

use crate::kafka::client::KafkaClientConfig;

/// An environment variable that a test cannot do without.
///
/// # Panics
/// When it is absent.
pub fn required_env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs the real parts; `make test` brings them up")
    })
}

/// The Kafka of the tests.
///
/// # Panics
/// When `KAFKA_BROKERS` is absent.
pub fn kafka() -> KafkaClientConfig {
    KafkaClientConfig {
        brokers: required_env("KAFKA_BROKERS"),
        properties: Vec::new(),
    }
}
