//! When a job is due.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use crate::job::Outcome;

/// So often a job may take its process with it before it waits for the next time.
const DEATHS: usize = 3;

/// When a job runs, in UTC.
///
/// `30 2 * * *`: a cron expression of five fields, or of six with seconds first;
/// `every 300s` (also `m`, `h`, `d`): at multiples of it since 1970; `off`: by hand alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Schedule {
    Cron(Box<Cron>),
    Every(TimeDelta),
    Off,
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(span) = text.strip_prefix("every ") {
            let span = platform::config::parse_span(span.trim())
                .and_then(|span| TimeDelta::from_std(span).ok())
                .filter(|span| (1..=31 * 86_400).contains(&span.num_seconds()));
            return span
                .map(Self::Every)
                .ok_or_else(|| "must be from `every 1s` to `every 31d`".to_owned());
        }
        let cron = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = cron.parse(text).map_err(|error| {
            format!("must be a cron expression, `every 300s` or `off`: {error}")
        })?;
        Ok(Self::Cron(Box::new(cron)))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => f.write_str(cron.as_str()),
            Self::Every(span) => write!(f, "every {}s", span.num_seconds()),
            Self::Off => f.write_str("off"),
        }
    }
}

impl Schedule {
    /// The last time that it was to run at, `now` included.
    fn latest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.find_previous_occurrence(&now, true).ok(),
            Self::Every(span) => {
                let seconds = span.num_seconds();
                DateTime::from_timestamp(now.timestamp().div_euclid(seconds) * seconds, 0)
            }
            Self::Off => None,
        }
    }

    /// The next time after `now`; `None`: never.
    pub(crate) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.find_next_occurrence(&now, false).ok(),
            Self::Every(span) => Some(self.latest(now)? + *span),
            Self::Off => None,
        }
    }

    /// Whether a time has passed since it last began, which also is true of one that was
    /// missed. Only the last of several that were missed is made up for.
    pub(crate) fn is_due(&self, now: DateTime<Utc>, last: Option<DateTime<Utc>>) -> bool {
        let latest = self.latest(now);
        latest.is_some_and(|latest| last.is_none_or(|last| last < latest))
    }
}

/// When a job last began, of those runs that count: one that was interrupted or whose process
/// died is done again, unless it is always the job that the process dies of. `runs` are the
/// latest, latest first.
pub(crate) fn last_counted(runs: &[(DateTime<Utc>, Outcome)]) -> Option<DateTime<Utc>> {
    let counts = |outcome| !matches!(outcome, Outcome::Interrupted | Outcome::Abandoned);
    let deaths = runs.iter().take_while(|(_, o)| *o == Outcome::Abandoned);
    if deaths.count() >= DEATHS {
        return runs.first().map(|(began, _)| *began);
    }
    let counted = runs.iter().find(|(_, outcome)| counts(*outcome));
    counted.map(|(began, _)| *began)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    #[test]
    fn cron_is_in_utc_and_may_have_seconds() {
        let daily = schedule("30 2 * * *");
        let now = at("2026-03-29T02:30:00Z");
        assert_eq!(daily.latest(now), Some(now));
        assert_eq!(daily.next(now), Some(at("2026-03-30T02:30:00Z")));
        let soon = schedule("*/10 * * * * *");
        assert_eq!(soon.next(now), Some(at("2026-03-29T02:30:10Z")));
        assert_eq!(
            schedule("every 5m").latest(at("2026-01-01T00:07:00Z")),
            Some(at("2026-01-01T00:05:00Z"))
        );
    }

    #[test]
    fn what_was_missed_is_made_up_for_once() {
        let daily = schedule("0 4 * * *");
        let now = at("2026-03-10T12:00:00Z");
        assert!(daily.is_due(now, None));
        assert!(daily.is_due(now, Some(at("2026-03-07T04:00:00Z"))));
        assert!(!daily.is_due(now, Some(at("2026-03-10T04:00:00Z"))));
        assert!(!schedule("off").is_due(now, None));
    }

    #[test]
    fn a_run_that_was_cut_short_is_done_again_but_not_for_ever() {
        let run = |hour: u32, outcome| (at(&format!("2026-03-10T{hour:02}:00:00Z")), outcome);
        let done = run(1, Outcome::Failed);
        let dead = |hour| run(hour, Outcome::Abandoned);
        assert_eq!(last_counted(&[]), None);
        assert_eq!(
            last_counted(&[run(3, Outcome::Interrupted), dead(2), done]),
            Some(done.0)
        );
        assert_eq!(last_counted(&[dead(3), dead(2)]), None);
        assert_eq!(
            last_counted(&[dead(4), dead(3), dead(2), done]),
            Some(dead(4).0)
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_and_what_is_one_is_shown_as_it_was_written() {
        for wrong in [
            "",
            "often",
            "61 * * * *",
            "every 0s",
            "every 1",
            "every 99d",
        ] {
            assert!(wrong.parse::<Schedule>().is_err(), "{wrong}");
        }
        for text in ["7 * * * *", "every 300s", "off"] {
            assert_eq!(schedule(text).to_string(), text);
        }
        for spec in crate::SPECS {
            schedule(spec.schedule);
        }
    }
}
