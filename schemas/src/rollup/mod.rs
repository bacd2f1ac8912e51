//! The rollup: what is kept of many events, and how two of them become one.

mod batch;
mod histogram;
mod series;
mod sums;

use crate::{
    Usd,
    event::{Event, SessionKind, Status, UserSession},
};

pub use self::{
    batch::{MalformedRollup, RollupBatch, RollupEntry},
    histogram::{Histogram, MalformedHistogram},
    series::{Scope, Series, SeriesKind},
    sums::{SumKey, Sums},
};

/// What is kept of a set of events of one series in one window. A commutative monoid:
/// [`Rollup::default`] is its identity and [`Rollup::merge`] its operation, so it does not
/// matter in which order or grouping events are added up.
///
/// Counters stay at the end of their type; none comes near it within the limits of events.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rollup {
    /// How many events.
    pub count: u64,
    /// How many of each [`Status`], in the order of [`Status::ALL`].
    pub by_status: [u64; 4],
    /// How long they took, of those that say so: executions, and sessions that ended.
    pub execution_time: Option<ExecutionTime>,
    /// Tokens given to agents.
    pub input_tokens: u64,
    /// Tokens that agents answered.
    pub output_tokens: u64,
    /// What it cost.
    pub cost: Usd,
    /// Commands executed in sessions that ended.
    pub commands_executed: u64,
    /// Values of those that have one: of productivity metrics, and the productivity scores
    /// of sessions that ended.
    pub values: Option<Values>,
}

/// How long events took, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionTime {
    /// Their sum.
    pub sum: u64,
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
    /// How many of which length.
    pub histogram: Histogram,
}

/// Values of events, which need not all have one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Values {
    /// How many there are.
    pub count: u64,
    /// Their sum in units of 10⁻¹². Whole numbers, because floating-point sums depend on
    /// their order.
    pub sum: i128,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Rollup {
    /// The rollup of one event.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::CommandExecution(e) => Self::of_execution(e.status, e.execution_time_ms),
            Event::AgentInteraction(e) => Self {
                input_tokens: unsigned(e.input_tokens.unwrap_or(0)),
                output_tokens: unsigned(e.output_tokens.unwrap_or(0)),
                cost: e.cost_usd.unwrap_or(Usd::ZERO),
                ..Self::of_execution(e.status, e.execution_time_ms)
            },
            Event::ProductivityMetric(e) => Self {
                count: 1,
                values: Some(Values::of(e.metric_value)),
                ..Self::default()
            },
            Event::UserSession(e) => Self::of_session(e),
        }
    }

    /// Adds one event: the same as merging [`Rollup::of`] it, without making that.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::CommandExecution(e) => self.add_execution(e.status, e.execution_time_ms),
            Event::AgentInteraction(e) => {
                self.add_execution(e.status, e.execution_time_ms);
                let input = unsigned(e.input_tokens.unwrap_or(0));
                self.input_tokens = self.input_tokens.saturating_add(input);
                let output = unsigned(e.output_tokens.unwrap_or(0));
                self.output_tokens = self.output_tokens.saturating_add(output);
                self.cost = self.cost.saturating_add(e.cost_usd.unwrap_or(Usd::ZERO));
            }
            Event::ProductivityMetric(_) | Event::UserSession(_) => self.merge(&Self::of(event)),
        }
    }

    fn add_execution(&mut self, status: Status, time: i64) {
        self.count = self.count.saturating_add(1);
        let of_status = &mut self.by_status[status as usize];
        *of_status = of_status.saturating_add(1);
        let time = unsigned(time);
        match &mut self.execution_time {
            Some(times) => times.add(time),
            none @ None => *none = Some(ExecutionTime::of(time)),
        }
    }

    fn of_execution(status: Status, time: i64) -> Self {
        Self {
            count: 1,
            by_status: Status::ALL.map(|s| u64::from(s == status)),
            execution_time: Some(ExecutionTime::of(unsigned(time))),
            ..Self::default()
        }
    }

    /// What a session came to is said by its end; what was said before of it would count it
    /// several times.
    fn of_session(session: &UserSession) -> Self {
        let counted = Self {
            count: 1,
            ..Self::default()
        };
        if session.kind != SessionKind::Ended {
            return counted;
        }
        Self {
            execution_time: session_millis(session).map(ExecutionTime::of),
            commands_executed: unsigned(session.commands_executed.unwrap_or(0)),
            values: session.productivity_score.map(Values::of),
            ..counted
        }
    }

    /// Adds `other` to this.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        for (mine, theirs) in self.by_status.iter_mut().zip(other.by_status) {
            *mine = mine.saturating_add(theirs);
        }
        match (&mut self.execution_time, &other.execution_time) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) => mine.clone_from(theirs),
            (Some(_), None) => {}
        }
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost = self.cost.saturating_add(other.cost);
        self.commands_executed = self
            .commands_executed
            .saturating_add(other.commands_executed);
        match (&mut self.values, &other.values) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) => *mine = *theirs,
            (Some(_), None) => {}
        }
    }

    /// How many ended with `status`.
    pub fn with_status(&self, status: Status) -> u64 {
        self.by_status[status as usize]
    }

    /// The execution time of nearest rank `q` (0 to 1) in milliseconds, within 4.5 %.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let time = self.execution_time.as_ref()?;
        time.histogram.quantile(q, time.min, time.max)
    }
}

impl ExecutionTime {
    /// Of one event that took `time` milliseconds.
    pub fn of(time: u64) -> Self {
        let mut histogram = Histogram::default();
        histogram.add(time);
        Self {
            sum: time,
            min: time,
            max: time,
            histogram,
        }
    }

    fn add(&mut self, time: u64) {
        self.sum = self.sum.saturating_add(time);
        self.min = self.min.min(time);
        self.max = self.max.max(time);
        self.histogram.add(time);
    }

    fn merge(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.histogram.merge(&other.histogram);
    }
}

impl Values {
    /// Of one event with this value.
    pub fn of(value: f64) -> Self {
        // Two zeros would be two minima.
        let value = value + 0.0;
        Self {
            count: 1,
            sum: exact_units(value),
            min: value,
            max: value,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// How long a session was: as it says, or else from its start to its end. SQL over raw rows
/// gives the same with `round(duration_minutes * 60000)` and `floor(extract(epoch from
/// session_end - session_start) * 1000)`.
fn session_millis(session: &UserSession) -> Option<u64> {
    let said = session.duration_minutes;
    match (said, session.session_start, session.session_end) {
        (Some(minutes), _, _) => Some((minutes * 60_000.0).round_ties_even() as u64),
        (None, Some(start), Some(end)) => Some(unsigned((end.micros() - start.micros()) / 1000)),
        _ => None,
    }
}

/// Validation leaves no negative number here.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// `value` in units of 10⁻¹², rounded half to even; exact, unlike multiplying.
fn exact_units(value: f64) -> i128 {
    format!("{value:.12}").replace('.', "").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests;
