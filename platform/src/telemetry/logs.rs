//! Structured logs to standard error, as text or JSON.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// Starts logging. A second call changes nothing, so that each test may call
/// it, as may each service in one process.
///
/// # Errors
/// When the level's directives cannot be parsed.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        // What a migration found in place already is no news; the setting may say otherwise.
        .parse(format!("sqlx::postgres::notice=warn,{}", config.level))
        .context("LOG_LEVEL cannot be parsed")?;
    let registry = tracing_subscriber::registry().with(filter);
    let format = tracing_subscriber::fmt::layer()
        .with_target(true)
        .with_writer(io::stderr);
    // The only failure is that a subscriber is set already, which is fine.
    let _already_set = match config.format {
        LogFormat::Text => registry
            .with(format.with_ansi(io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry
            .with(format.json().flatten_event(true).with_current_span(true))
            .try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logging_starts_any_number_of_times() {
        let config = LogConfig {
            level: "warn".to_owned(),
            format: LogFormat::Json,
        };
        init(&config).unwrap();
        init(&config).unwrap();
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(
            init(&LogConfig {
                level: "a=b=c".to_owned(),
                format: LogFormat::Text
            })
            .is_err()
        );
    }
}
