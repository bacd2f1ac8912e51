//! How long rows are kept: plain values.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveTime, Utc};
use platform::config::{Env, data_retention};
use uuid::Uuid;

/// Raw rows, of which rollups are made.
const RAW: [&str; 4] = [
    "command_executions",
    "agent_interactions",
    "productivity_metrics",
    "user_sessions",
];

/// What expires. Raw rows come first: rollups must outlive them.
pub(super) const TABLES: [&str; 11] = [
    RAW[0],
    RAW[1],
    RAW[2],
    RAW[3],
    "rollups_1m",
    "rollups_5m",
    "rollups_15m",
    "rollups_1h",
    "rollups_1d",
    "rollups_1d_by_user",
    "dead_letters",
];

/// A row stays so many days longer than it must. An event is let in until its retention is
/// over, and reaches the table somewhat later: it is not to be removed on its arrival.
const MARGIN: u32 = 1;

/// How long rows are kept, in days, where nothing else is said of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionConfig {
    /// `DATA_RETENTION_DAYS`, default 90: raw rows.
    pub(super) raw: u32,
    /// `PARTITION_RETENTION_DAYS`, default 180: rollups of minutes.
    pub(super) fine: u32,
    /// `ROLLUP_RETENTION_DAYS`, default 1825: rollups of hours and days.
    pub(super) coarse: u32,
    /// `DEAD_LETTER_RETENTION_DAYS`, default 30.
    pub(super) dead_letters: u32,
    /// `JOB_HISTORY_DAYS`, default 30: the jobs' own history.
    pub(super) history_days: i32,
}

impl RetentionConfig {
    pub(crate) fn from_env(env: &mut Env) -> Self {
        let raw = data_retention(env).as_secs() / 86_400;
        Self {
            raw: u32::try_from(raw).unwrap_or(u32::MAX),
            fine: env.number("PARTITION_RETENTION_DAYS", 180, 1..=36_500),
            coarse: env.number("ROLLUP_RETENTION_DAYS", 1_825, 1..=36_500),
            dead_letters: env.number("DEAD_LETTER_RETENTION_DAYS", 30, 1..=3_650),
            history_days: env.number("JOB_HISTORY_DAYS", 30, 1..=3_650),
        }
    }

    fn days(&self, table: &str) -> u32 {
        match table {
            "rollups_1m" | "rollups_5m" | "rollups_15m" => self.fine,
            "rollups_1h" | "rollups_1d" | "rollups_1d_by_user" => self.coarse,
            "dead_letters" => self.dead_letters,
            _ => self.raw,
        }
    }
}

/// The settings, and what is said of organizations.
#[derive(Debug)]
pub(super) struct Policy {
    config: RetentionConfig,
    overrides: HashMap<(Uuid, String), u32>,
}

impl Policy {
    /// `overrides` are rows of `flowmeter.retention`.
    pub(super) fn new(config: RetentionConfig, overrides: Vec<(Uuid, String, i32)>) -> Self {
        let days = |days: i32| u32::try_from(days).unwrap_or(u32::MAX);
        Self {
            config,
            overrides: overrides
                .into_iter()
                .map(|(organization, table, count)| ((organization, table), days(count)))
                .collect(),
        }
    }

    /// The instant before which an organization's rows of a table are not kept: the start of a
    /// day.
    pub(super) fn boundary(
        &self,
        organization: Uuid,
        table: &str,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let own = self.own(organization, table);
        let is_rollup = table.starts_with("rollups_");
        let raw = RAW.iter().filter(|_| is_rollup);
        let days = raw
            .map(|raw| self.own(organization, raw))
            .fold(own, u32::max);
        start(now, days)
    }

    /// The latest boundary that any organization has in a table, or would but for its raw rows.
    pub(super) fn latest(&self, table: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        let own = self.overrides.iter().filter(|((_, name), _)| name == table);
        let days = own
            .map(|(_, days)| *days)
            .fold(self.config.days(table), u32::min);
        start(now, days)
    }

    fn own(&self, organization: Uuid, table: &str) -> u32 {
        let key = (organization, table.to_owned());
        let own = self.overrides.get(&key).copied();
        own.unwrap_or_else(|| self.config.days(table))
    }
}

fn start(now: DateTime<Utc>, days: u32) -> DateTime<Utc> {
    let day = now
        .date_naive()
        .checked_sub_days(Days::new(u64::from(days) + u64::from(MARGIN)));
    day.map_or(DateTime::<Utc>::MIN_UTC, |day| {
        day.and_time(NaiveTime::MIN).and_utc()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-06-30T17:00:00Z";

    fn policy(overrides: &[(Uuid, &str, i32)]) -> Policy {
        let own = |(id, table, days): &(Uuid, &str, i32)| (*id, (*table).to_owned(), *days);
        let mut env = Env::from_pairs([("PARTITION_RETENTION_DAYS", "10")]);
        let config = RetentionConfig::from_env(&mut env);
        Policy::new(config, overrides.iter().map(own).collect())
    }

    fn boundary(policy: &Policy, organization: Uuid, table: &str) -> String {
        let at = policy.boundary(organization, table, NOW.parse().unwrap());
        at.date_naive().to_string()
    }

    #[test]
    fn a_boundary_is_the_start_of_a_day_and_a_day_behind_what_is_let_in() {
        let at = policy(&[]).boundary(Uuid::nil(), "user_sessions", NOW.parse().unwrap());
        assert_eq!(at, "2026-03-31T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
        let let_in = NOW.parse::<DateTime<Utc>>().unwrap() - Days::new(90);
        assert!(let_in - at > chrono::TimeDelta::days(1));
    }

    #[test]
    fn rollups_outlive_the_raw_rows_whatever_is_configured() {
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let policy = policy(&[(ours, "agent_interactions", 100), (theirs, "rollups_1m", 7)]);
        for organization in [ours, theirs] {
            let raw = |table: &&str| boundary(&policy, organization, table);
            let oldest = RAW.iter().map(raw).min().unwrap();
            for table in TABLES.iter().filter(|t| t.starts_with("rollups_")) {
                assert!(boundary(&policy, organization, table) <= oldest, "{table}");
            }
        }
    }

    #[test]
    fn an_organization_may_have_its_own_time_for_each_table() {
        let ours = Uuid::from_u128(1);
        let policy = policy(&[(ours, "user_sessions", 9)]);
        assert_eq!(boundary(&policy, ours, "user_sessions"), "2026-06-20");
        assert_eq!(boundary(&policy, ours, "command_executions"), "2026-03-31");
        assert_eq!(
            boundary(&policy, Uuid::nil(), "user_sessions"),
            "2026-03-31"
        );
        let latest = policy.latest("user_sessions", NOW.parse().unwrap());
        assert_eq!(latest.date_naive().to_string(), "2026-06-20");
    }
}
