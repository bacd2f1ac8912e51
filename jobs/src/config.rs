//! The settings of the jobs.

use std::collections::BTreeMap;

use platform::config::{DatabaseConfig, Env, KafkaConfig, ServiceIdentity};

use crate::SPECS;
use crate::health::HealthConfig;
use crate::job::Spec;
use crate::retention::RetentionConfig;
use crate::schedule::Schedule;

/// The settings of the jobs.
#[derive(Debug, Clone)]
pub struct JobsConfig {
    /// Kafka, whose consumers' lag is looked at.
    pub kafka: KafkaConfig,
    /// TimescaleDB.
    pub database: DatabaseConfig,
    /// Who writes the history: `INSTANCE_ID`.
    pub(crate) instance_id: String,
    /// `JOB_<NAME>_SCHEDULE`.
    schedules: BTreeMap<&'static str, Schedule>,
    /// How long rows are kept.
    pub(crate) retention: RetentionConfig,
    /// `RECONCILE_DAYS`, default 30: how far back the nightly comparison goes.
    pub(crate) reconcile_days: u32,
    /// What the health check alerts of, and whom.
    pub(crate) health: HealthConfig,
}

impl JobsConfig {
    /// Reads the settings.
    pub fn from_env(env: &mut Env) -> Self {
        let interval = env.number("HEALTH_CHECK_INTERVAL", 300, 1..=86_400_u32);
        let mut schedules = BTreeMap::new();
        for spec in SPECS {
            let interval = format!("every {interval}s");
            let is_health = spec.name == crate::health::SPEC.name;
            let default = if is_health { &interval } else { spec.schedule };
            let schedule = env.parsed(&spec.variable(), default, str::parse);
            schedules.insert(spec.name, schedule.unwrap_or(Schedule::Off));
        }
        Self {
            kafka: KafkaConfig::from_env(env),
            database: DatabaseConfig::from_env(env),
            instance_id: ServiceIdentity::from_env(env).instance_id,
            schedules,
            retention: RetentionConfig::from_env(env),
            reconcile_days: env.number("RECONCILE_DAYS", 30, 1..=3_650),
            health: HealthConfig::from_env(env),
        }
    }

    /// When a job runs; one that is not among ours, by hand alone.
    pub(crate) fn schedule(&self, spec: &Spec) -> Schedule {
        let known = self.schedules.get(spec.name);
        known.cloned().unwrap_or(Schedule::Off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_defaults_and_every_fault_is_told() {
        let mut env = Env::from_pairs([
            ("JOB_RECONCILE_WIDE_SCHEDULE", "off"),
            ("JOB_STORAGE_SCHEDULE", "99 * * * *"),
            ("HEALTH_CHECK_INTERVAL", "60"),
            ("ALERT_WEBHOOK_URL", "ftp://x"),
        ]);
        let config = JobsConfig::from_env(&mut env);
        assert_eq!(config.schedule(&crate::reconcile::WIDE), Schedule::Off);
        assert_eq!(
            config.schedule(&crate::health::SPEC).to_string(),
            "every 60s"
        );
        let faults = env.finish().unwrap_err().to_string();
        for name in ["JOB_STORAGE_SCHEDULE", "ALERT_WEBHOOK_URL", "DATABASE_URL"] {
            assert!(faults.contains(name), "{faults}");
        }
    }
}
