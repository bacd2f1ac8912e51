//! What is answered, in JSON.

use schemas::{
    Rollup, Usd,
    event::Status,
    rollup::{ExecutionTime, Values},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{fold::Sessions, row::AggregatedRow};

/// A page of rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Aggregated {
    /// The rows' window, as asked for or chosen.
    #[schema(example = "1h")]
    pub(crate) window: &'static str,
    /// The time zone of the rows' days; UTC for all other buckets.
    #[schema(example = "UTC")]
    pub(crate) tz: &'static str,
    /// By what the rows are grouped.
    #[schema(example = "command")]
    pub(crate) group_by: &'static str,
    /// The range's start, as given or by default.
    #[schema(format = DateTime)]
    pub(crate) start_date: String,
    /// The range's end, as given or by default.
    #[schema(format = DateTime)]
    pub(crate) end_date: String,
    /// No event from before this instant is expected any more: buckets that end by then are
    /// complete. Null while that is not known.
    #[schema(format = DateTime, required = true)]
    pub(crate) watermark: Option<String>,
    /// The rows by bucket and group, ascending; the null group is a bucket's last.
    pub(crate) data: Vec<AggregatedRow>,
    /// To be sent as `cursor` for the next page; null on the last.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
}

/// Executions by how they ended, and how long they took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Executions {
    /// How many.
    count: u64,
    /// How many succeeded.
    success: u64,
    /// How many failed.
    error: u64,
    /// How many ran out of time.
    timeout: u64,
    /// How many were cancelled.
    cancelled: u64,
    /// `error / count`; null when there were none.
    #[schema(required = true)]
    error_rate: Option<f64>,
    /// How long they took, in milliseconds; null when there were none.
    #[schema(required = true)]
    execution_time_ms: Option<ExecutionTimeMs>,
}

/// Executions of agents, and what they used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentExecutions {
    #[serde(flatten)]
    executions: Executions,
    /// Tokens given to agents.
    input_tokens: u64,
    /// Tokens that agents answered.
    output_tokens: u64,
    /// US dollars, exactly, hence as text.
    #[schema(example = "0.0125")]
    cost_usd: String,
}

/// Execution times in milliseconds. Sum, extremes and mean are exact, the
/// quantiles within 4.5 %.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecutionTimeMs {
    sum: u64,
    min: u64,
    max: u64,
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Productivity metrics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Metrics {
    /// How many.
    count: u64,
    /// Their values: of one type only, since those of different types do not
    /// add up. Null unless rows are grouped by metric type or `metric_types`
    /// names one; and when there were none.
    #[schema(required = true)]
    value: Option<ValueFigures>,
    /// The values of those of type `productivity_score`, whatever else counts;
    /// null when there were none. Scores that sessions ended with are in
    /// `sessions`, and no part of these.
    #[schema(required = true)]
    productivity_score: Option<ValueFigures>,
}

/// Values of events. Sum and extremes are exact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValueFigures {
    /// How many events had one.
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// `sum / count`.
    pub(crate) mean: f64,
}

/// Sessions. A session counts at the times of its events: what started in one
/// bucket may have ended in another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionFigures {
    /// How many started.
    started: u64,
    /// How many updates there were; a session may have any number.
    updated: u64,
    /// How many ended.
    ended: u64,
    /// How long those that ended were, in minutes: as their end said, or else
    /// from start to end; null when none said either.
    #[schema(required = true)]
    duration_minutes: Option<DurationMinutes>,
    /// The productivity scores that sessions ended with, 0 to 100; null when
    /// none did.
    #[schema(required = true)]
    productivity_score: Option<ValueFigures>,
    /// Commands executed in those that ended, as far as they said.
    commands_executed: u64,
}

/// Durations in minutes, to the millisecond. Sum, extremes and mean are exact,
/// the quantiles within 4.5 % up to a day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DurationMinutes {
    /// How many sessions had one.
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// `sum / count`.
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
}

impl Executions {
    pub(crate) fn of(rollup: &Rollup) -> Self {
        let error = rollup.with_status(Status::Error);
        Self {
            count: rollup.count,
            success: rollup.with_status(Status::Success),
            error,
            timeout: rollup.with_status(Status::Timeout),
            cancelled: rollup.with_status(Status::Cancelled),
            error_rate: ratio(error as f64, rollup.count),
            execution_time_ms: ExecutionTimeMs::of(rollup),
        }
    }
}

impl AgentExecutions {
    pub(crate) fn of(rollup: &Rollup) -> Self {
        Self {
            executions: Executions::of(rollup),
            input_tokens: rollup.input_tokens,
            output_tokens: rollup.output_tokens,
            cost_usd: rollup.cost.to_string(),
        }
    }
}

impl ExecutionTimeMs {
    pub(super) fn of(rollup: &Rollup) -> Option<Self> {
        let time = rollup.execution_time.as_ref()?;
        Some(Self {
            sum: time.sum,
            min: time.min,
            max: time.max,
            mean: ratio(time.sum as f64, rollup.count)?,
            p50: rollup.quantile(0.5)?,
            p95: rollup.quantile(0.95)?,
            p99: rollup.quantile(0.99)?,
        })
    }
}

impl Metrics {
    pub(super) fn of(rollup: &Rollup, scores: &Rollup, adds_values: bool) -> Self {
        let values = rollup.values.filter(|_| adds_values);
        Self {
            count: rollup.count,
            value: values.and_then(ValueFigures::of),
            productivity_score: scores.values.and_then(ValueFigures::of),
        }
    }
}

impl SessionFigures {
    pub(crate) fn of(sessions: &Sessions) -> Self {
        let ended = &sessions.ended;
        let time = ended.execution_time.as_ref();
        Self {
            started: sessions.started,
            updated: sessions.updated,
            ended: ended.count,
            duration_minutes: time.and_then(DurationMinutes::of),
            productivity_score: ended.values.and_then(ValueFigures::of),
            commands_executed: ended.commands_executed,
        }
    }
}

impl DurationMinutes {
    pub(super) fn of(time: &ExecutionTime) -> Option<Self> {
        const MILLIS: f64 = 60_000.0;
        let count = time.histogram.count();
        let minutes = |millis: u64| millis as f64 / MILLIS;
        let quantile = |q| Some(time.histogram.quantile(q, time.min, time.max)? / MILLIS);
        Some(Self {
            count,
            sum: minutes(time.sum),
            min: minutes(time.min),
            max: minutes(time.max),
            mean: ratio(minutes(time.sum), count)?,
            p50: quantile(0.5)?,
            p95: quantile(0.95)?,
            p99: quantile(0.99)?,
        })
    }
}

impl ValueFigures {
    pub(crate) fn of(values: Values) -> Option<Self> {
        // By its text, which gives the nearest number; dividing would round twice.
        let sum: f64 = Usd::from_units(values.sum).to_string().parse().ok()?;
        Some(Self {
            count: values.count,
            sum,
            min: values.min,
            max: values.max,
            mean: ratio(sum, values.count)?,
        })
    }
}

/// Of nothing, unknown.
fn ratio(part: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| part / count as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn nothing_is_a_count_of_zero_and_no_rate() {
        let nothing = Executions::of(&Rollup::default());
        assert_eq!(
            to_value(nothing).unwrap(),
            json!({
                "count": 0, "success": 0, "error": 0, "timeout": 0, "cancelled": 0,
                "error_rate": null, "execution_time_ms": null,
            })
        );
        let nothing = Rollup::default();
        let metrics = Metrics::of(&nothing, &nothing, true);
        assert_eq!(
            to_value(metrics).unwrap(),
            json!({"count": 0, "value": null, "productivity_score": null})
        );
        let sessions = SessionFigures::of(&Sessions::default());
        assert_eq!(
            to_value(sessions).unwrap(),
            json!({
                "started": 0, "updated": 0, "ended": 0, "duration_minutes": null,
                "productivity_score": null, "commands_executed": 0,
            })
        );
    }

    #[test]
    fn a_sum_of_values_is_the_nearest_number() {
        let values = Values {
            count: 2,
            sum: 300_000_000_000,
            min: 0.1,
            max: 0.2,
        };
        let value = ValueFigures::of(values).unwrap();
        assert_eq!((value.sum, value.mean), (0.3, 0.15));
    }
}
