//! The sections that services share: logs, identity, windows.

use std::time::Duration;

use schemas::Window;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use super::Env;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `LOG_LEVEL`, default `info`: a level, or directives such as
    /// `info,sink=debug`.
    pub level: String,
    /// `LOG_FORMAT`, `text` (default) or `json`.
    pub format: LogFormat,
}

impl LogConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let level = env.parsed("LOG_LEVEL", "info", |value| {
            EnvFilter::builder()
                .parse(value)
                .map(|_| value.to_owned())
                .map_err(|_| "must be a level (error, warn, info, debug, trace) or directives such as info,sink=debug")
        });
        let format = env.parsed("LOG_FORMAT", "text", |value| {
            match value.to_ascii_lowercase().as_str() {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("must be text or json"),
            }
        });
        Self {
            level: level.unwrap_or_else(|| "info".to_owned()),
            format: format.unwrap_or(LogFormat::Text),
        }
    }
}

/// Which instance of a service this process is.
#[derive(Debug, Clone)]
pub struct ServiceIdentity {
    /// `INSTANCE_ID`, default `<hostname>-<8 random hex digits>`.
    pub instance_id: String,
}

impl ServiceIdentity {
    /// Reads the section. Without `INSTANCE_ID` every call makes another id.
    pub fn from_env(env: &mut Env) -> Self {
        let host = env.optional("HOSTNAME");
        let default = || {
            let host = host
                .or_else(kernel_hostname)
                .unwrap_or_else(|| "flowmeter".to_owned());
            let random = Uuid::new_v4().simple().to_string();
            format!("{host}-{}", &random[..8])
        };
        Self {
            instance_id: env.optional("INSTANCE_ID").unwrap_or_else(default),
        }
    }
}

fn kernel_hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// `DATA_RETENTION_DAYS`, default 90: how long events are kept, and so how old an arriving
/// event may be.
pub fn data_retention(env: &mut Env) -> Duration {
    Duration::from_secs(86_400 * env.number("DATA_RETENTION_DAYS", 90, 1..=36_500))
}

/// `AGGREGATION_WINDOWS`, default all five: of which lengths rollups are kept. Shortest first.
pub fn aggregation_windows(env: &mut Env) -> Vec<Window> {
    let windows = env.parsed("AGGREGATION_WINDOWS", "1m,5m,15m,1h,1d", parse_windows);
    windows.unwrap_or_default()
}

fn parse_windows(text: &str) -> Result<Vec<Window>, &'static str> {
    let windows: Result<Vec<Window>, _> = text.split(',').map(|w| w.trim().parse()).collect();
    let mut windows = windows.map_err(|_| "must be some of 1m, 5m, 15m, 1h, 1d")?;
    windows.sort_unstable();
    windows.dedup();
    Ok(windows)
}

/// One warning for each variable of the older service that is set and does
/// nothing here. To be logged once at start.
pub fn deprecated_variables(env: &mut Env) -> Vec<String> {
    let mut warnings = Vec::new();
    if env.optional("DEAD_LETTER_QUEUE_SIZE").is_some() {
        warnings.push(
            "DEAD_LETTER_QUEUE_SIZE is ignored: dead letters are a topic with a retention, DEAD_LETTER_RETENTION_DAYS"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AdminConfig, HttpConfig};

    #[test]
    fn without_variables_the_documented_defaults_hold() {
        let mut env = Env::from_pairs([("OTHER", "x")]);
        let log = LogConfig::from_env(&mut env);
        assert_eq!((log.level.as_str(), log.format), ("info", LogFormat::Text));
        assert!(deprecated_variables(&mut env).is_empty());
        env.finish().unwrap();
    }

    #[test]
    fn faults_of_all_sections_come_together() {
        let mut env = Env::from_pairs([
            ("HOST", "example"),
            ("PORT", "x"),
            ("LOG_LEVEL", "sink=loud"),
            ("LOG_FORMAT", "xml"),
        ]);
        HttpConfig::from_env(&mut env);
        AdminConfig::from_env(&mut env);
        LogConfig::from_env(&mut env);
        let faults = env.finish().unwrap_err();
        let names: Vec<_> = faults
            .faults()
            .iter()
            .map(|fault| fault.name.as_str())
            .collect();
        assert_eq!(names, ["HOST", "PORT", "LOG_LEVEL", "LOG_FORMAT"]);
    }

    #[test]
    fn windows_are_sorted_and_unknown_ones_refused() {
        assert_eq!(parse_windows("1d, 1m,1d"), Ok(vec![Window::M1, Window::D1]));
        assert!(parse_windows("1m,2h").is_err());
        assert!(parse_windows("").is_err());
        let mut env = Env::from_pairs([("OTHER", "x")]);
        assert_eq!(aggregation_windows(&mut env), Window::ALL);
    }

    #[test]
    fn an_instance_is_named_after_its_host_or_as_told() {
        let mut env = Env::from_pairs([("HOSTNAME", "box")]);
        let id = ServiceIdentity::from_env(&mut env).instance_id;
        let random = id.strip_prefix("box-").unwrap();
        assert!(
            random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
        let mut env = Env::from_pairs([("INSTANCE_ID", "sink-1")]);
        assert_eq!(ServiceIdentity::from_env(&mut env).instance_id, "sink-1");
    }

    #[test]
    fn a_variable_of_the_older_service_gives_one_warning() {
        let mut env = Env::from_pairs([("DEAD_LETTER_QUEUE_SIZE", "1000")]);
        assert_eq!(deprecated_variables(&mut env).len(), 1);
        env.finish().unwrap();
    }
}
