//! Workload W1: command events of a few organizations, some of them late.
//!
//! - 20 organizations; 1,000 series in all, or as many as are asked for.
//! - A series is what the finest rollup tells apart: one organization, team, user and command
//!   name (see [`series`]). Which series an event belongs to follows Zipf's law with exponent
//!   1.1: the series of rank `r` has a share in proportion to `r^-1.1`.
//! - The clock of the log goes on by a millisecond an event, from half an hour before a
//!   midnight (UTC), so that 10 million events are 2 h 47 min and reach into two days. An event
//!   happened at that time, but 5 % are late by up to 10 minutes, evenly distributed.
//! - As JSON an event has 271 bytes on average.
//! - 90 % succeed, 7 % fail with a message, 2 % time out, 1 % are cancelled; execution times
//!   are skewed, most below a second, up to 11 minutes.
//!
//! Equal seeds give equal events, in every version of this program's dependencies: the random
//! numbers are made here.

pub(crate) mod random;
pub mod series;
pub(crate) mod zipf;

use schemas::{
    Event, Timestamp,
    event::{CommandExecution, Status},
};
use serde::Serialize;
use uuid::{Builder, Uuid};

use self::{random::SplitMix64, series::Series, zipf::Zipf};

/// The exponent of Zipf's law.
const EXPONENT: f64 = 1.1;
/// 2026-03-14T23:30:00Z.
pub const BEGIN_MICROS: i64 = 1_773_531_000_000_000;
/// Of the log's clock between two events.
const STEP_MICROS: i64 = 1_000;
/// The most an event is late, in microseconds.
pub const LATEST_MICROS: i64 = 600_000_000;

/// An event of the workload in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft {
    /// Which event, from 0.
    pub number: u64,
    /// Which of [`Workload::series`].
    pub series: u32,
    /// Event time in microseconds since the Unix epoch.
    pub timestamp_micros: i64,
    /// Execution time in milliseconds.
    pub millis: u32,
    /// How it ended.
    pub status: Status,
    /// Random bits for what nothing depends on.
    noise: u64,
}

/// The events, one after another, without end.
#[derive(Debug, Clone)]
pub struct Workload {
    random: SplitMix64,
    zipf: Zipf,
    series: Vec<Series>,
    number: u64,
    begin_micros: i64,
    step_micros: i64,
}

impl Workload {
    /// From its beginning, with `series` series.
    pub fn new(seed: u64, series: u32) -> Self {
        Self {
            begin_micros: BEGIN_MICROS,
            step_micros: STEP_MICROS,
            random: SplitMix64::new(seed),
            zipf: Zipf::new(series, EXPONENT),
            series: series::all(series),
            number: 0,
        }
    }

    /// The same events at other times: the log's clock begins at `begin_micros`, in microseconds
    /// since the Unix epoch, and goes on by `step_micros` an event.
    #[must_use]
    pub fn at(self, begin_micros: i64, step_micros: i64) -> Self {
        Self {
            begin_micros,
            step_micros,
            ..self
        }
    }

    /// All series, by rank.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The next event in few bytes.
    pub fn draft(&mut self) -> Draft {
        let random = &mut self.random;
        let number = self.number;
        self.number += 1;
        let series = self.zipf.rank(random.unit());
        let logged = self.begin_micros + number.cast_signed() * self.step_micros;
        let late = if random.unit() < 0.05 {
            (random.unit() * LATEST_MICROS as f64) as i64
        } else {
            0
        };
        let status = match random.unit() {
            x if x < 0.90 => Status::Success,
            x if x < 0.97 => Status::Error,
            x if x < 0.99 => Status::Timeout,
            _ => Status::Cancelled,
        };
        // The square leaves few long ones: half are below 0.4 s, one in a hundred is above 8 min.
        let millis = 10f64.powf(1.5 + 4.3 * random.unit().powi(2));
        Draft {
            number,
            series,
            timestamp_micros: logged - late,
            millis: (millis as u32).min(3_600_000),
            status,
            noise: random.next(),
        }
    }

    /// The whole event of a draft.
    pub fn event(&self, draft: &Draft) -> Event {
        Event::CommandExecution(self.command(draft))
    }

    /// The next `count` events.
    pub fn events(&mut self, count: usize) -> Vec<Event> {
        (0..count)
            .map(|_| {
                let draft = self.draft();
                self.event(&draft)
            })
            .collect()
    }

    fn command(&self, draft: &Draft) -> CommandExecution {
        let series = &self.series[draft.series as usize];
        let error = match draft.status {
            Status::Error => Some(format!("exit status {}", draft.noise % 127 + 1)),
            _ => None,
        };
        let at = Timestamp::from_micros(draft.timestamp_micros);
        let timestamp = at.unwrap_or(Timestamp::MIN);
        CommandExecution {
            event_id: event_id(timestamp, draft),
            organization_id: series.organization,
            timestamp,
            user_id: series.user,
            team_id: Some(series.team),
            project_id: None,
            command_name: series.name.clone(),
            execution_time_ms: i64::from(draft.millis),
            status: draft.status,
            command_args: None,
            error_message: error,
            context: None,
        }
    }

    /// The event as a producer posts it: compact JSON without the organization, which the
    /// token tells.
    ///
    /// # Panics
    /// Never: what is written is always JSON.
    pub fn json(&self, draft: &Draft) -> String {
        let command = self.command(draft);
        let posted = Posted {
            event_id: command.event_id,
            timestamp: command.timestamp.to_string(),
            user_id: command.user_id,
            team_id: command.team_id,
            command_name: &command.command_name,
            execution_time_ms: command.execution_time_ms,
            status: command.status.as_str(),
            error_message: command.error_message.as_deref(),
        };
        serde_json::to_string(&posted).expect("it is always JSON")
    }
}

#[derive(Debug, Serialize)]
struct Posted<'a> {
    event_id: Uuid,
    timestamp: String,
    user_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_id: Option<Uuid>,
    command_name: &'a str,
    execution_time_ms: i64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

/// A UUIDv7 of the event's time whose random part is the event's number and noise.
fn event_id(timestamp: Timestamp, draft: &Draft) -> Uuid {
    let mut bits = [0; 10];
    bits[..6].copy_from_slice(&draft.number.to_be_bytes()[2..]);
    bits[6..].copy_from_slice(&draft.noise.to_be_bytes()[..4]);
    let millis = u64::try_from(timestamp.micros() / 1000).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use schemas::{
        EventKind, Timestamp,
        event::{JsonDefaults, ValidationContext},
    };

    use serde_json::value::RawValue;

    use super::*;

    const COUNT: u64 = 100_000;

    #[test]
    fn it_is_as_told() {
        let mut workload = Workload::new(1, 1_000);
        let (mut bytes, mut late, mut first) = (0, 0, 0);
        let mut seen = HashSet::new();
        for number in 0..COUNT {
            let draft = workload.draft();
            let logged = BEGIN_MICROS + number.cast_signed() * STEP_MICROS;
            assert!((0..=LATEST_MICROS).contains(&(logged - draft.timestamp_micros)));
            late += u64::from(draft.timestamp_micros < logged);
            first += u64::from(draft.series == 0);
            seen.insert(draft.series);
            bytes += workload.json(&draft).len();
        }
        let mean = bytes as f64 / COUNT as f64;
        assert!((270.5..271.5).contains(&mean), "{mean} bytes");
        let late = late as f64 / COUNT as f64;
        assert!((0.048..0.052).contains(&late), "{late} late");
        // 1 / (the sum of r^-1.1 for r from 1 to 1,000).
        let first = first as f64 / COUNT as f64;
        assert!((0.176..0.184).contains(&first), "{first} of the first");
        assert!(seen.len() > 990, "{} series", seen.len());
    }

    #[test]
    fn equal_seeds_give_equal_events_and_others_do_not() {
        let drafts = |seed| {
            let mut workload = Workload::new(seed, 100);
            (0..100).map(|_| workload.draft()).collect::<Vec<_>>()
        };
        assert_eq!(drafts(7), drafts(7));
        assert_ne!(drafts(7), drafts(8));
    }

    #[test]
    fn what_is_posted_is_read_as_the_event() {
        let mut workload = Workload::new(1, 1_000);
        for _ in 0..1_000 {
            let draft = workload.draft();
            let event = workload.event(&draft);
            let common = event.common();
            let defaults = JsonDefaults {
                organization_id: common.organization_id,
                event_id: Uuid::nil(),
                timestamp: Timestamp::MIN,
            };
            let context = ValidationContext {
                record_time: common.timestamp,
                retention_seconds: 86_400,
            };
            let json = workload.json(&draft);
            let raw: &RawValue = serde_json::from_str(&json).unwrap();
            let read = Event::from_json(EventKind::CommandExecution, raw, &defaults, &context);
            assert_eq!(read, Ok(event));
        }
    }
}
