//! Rollup deltas as they travel on `metrics.rollups`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ExecutionTime, Histogram, Rollup, Series, SeriesKind, Values};
use crate::{Timestamp, Usd};

/// Deltas of one organization. The record's key is the organization's id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollupBatch {
    /// The tenant.
    pub organization_id: Uuid,
    /// At most one per minute and series.
    pub entries: Vec<RollupEntry>,
}

/// The delta of one series, at its finest, in one minute of event time. Coarser scopes and
/// longer windows follow from it and are not sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the Avro schema documents the fields")]
pub struct RollupEntry {
    pub bucket_start: Timestamp,
    pub kind: SeriesKind,
    pub name: String,
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub team_id: Option<Uuid>,
    #[serde(default)]
    pub project_id: Option<Uuid>,
    #[serde(default)]
    pub user_id: Option<Uuid>,
    event_count: i64,
    success_count: i64,
    error_count: i64,
    timeout_count: i64,
    cancelled_count: i64,
    execution_time_sum: i64,
    #[serde(default)]
    execution_time_min: Option<i64>,
    #[serde(default)]
    execution_time_max: Option<i64>,
    #[serde(with = "bytes")]
    histogram: Vec<u8>,
    input_tokens: i64,
    output_tokens: i64,
    cost_usd: String,
    #[serde(default)]
    value_sum: Option<String>,
    #[serde(default)]
    value_min: Option<f64>,
    #[serde(default)]
    value_max: Option<f64>,
    /// Absent when every event has a value, which those of metrics always have: the same
    /// as before the field was there.
    #[serde(default)]
    value_count: Option<i64>,
    #[serde(default)]
    commands_executed: i64,
}

/// A record of `metrics.rollups` that no aggregator of ours can have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rollup's {0} is malformed")]
pub struct MalformedRollup(&'static str);

impl RollupEntry {
    /// The delta of `series` in the minute from `bucket_start`.
    pub fn new(bucket_start: Timestamp, series: Series, rollup: &Rollup) -> Self {
        let time = rollup.execution_time.as_ref();
        let values = rollup.values.as_ref();
        let [success, error, timeout, cancelled] = rollup.by_status.map(signed);
        Self {
            bucket_start,
            kind: series.kind,
            name: series.name,
            model: series.model,
            team_id: series.team_id,
            project_id: series.project_id,
            user_id: series.user_id,
            event_count: signed(rollup.count),
            success_count: success,
            error_count: error,
            timeout_count: timeout,
            cancelled_count: cancelled,
            execution_time_sum: time.map_or(0, |t| signed(t.sum)),
            execution_time_min: time.map(|t| signed(t.min)),
            execution_time_max: time.map(|t| signed(t.max)),
            histogram: time.map(|t| t.histogram.to_bytes()).unwrap_or_default(),
            input_tokens: signed(rollup.input_tokens),
            output_tokens: signed(rollup.output_tokens),
            cost_usd: rollup.cost.to_string(),
            value_sum: values.map(|v| Usd::from_units(v.sum).to_string()),
            value_min: values.map(|v| v.min),
            value_max: values.map(|v| v.max),
            value_count: values
                .filter(|v| v.count != rollup.count)
                .map(|v| signed(v.count)),
            commands_executed: signed(rollup.commands_executed),
        }
    }

    /// The parts it was made of.
    ///
    /// # Errors
    /// If its numbers are no rollup's.
    pub fn into_parts(self) -> Result<(Timestamp, Series, Rollup), MalformedRollup> {
        let count = |name, n: i64| u64::try_from(n).map_err(|_| MalformedRollup(name));
        let execution_time = match (self.execution_time_min, self.execution_time_max) {
            (Some(min), Some(max)) => Some(ExecutionTime {
                sum: count("execution_time_sum", self.execution_time_sum)?,
                min: count("execution_time_min", min)?,
                max: count("execution_time_max", max)?,
                histogram: Histogram::from_bytes(&self.histogram)
                    .map_err(|_| MalformedRollup("histogram"))?,
            }),
            (None, None) => None,
            _ => return Err(MalformedRollup("execution_time_min")),
        };
        if let Some(time) = &execution_time
            && time.min > time.max
        {
            return Err(MalformedRollup("execution_time_min"));
        }
        let values = match (&self.value_sum, self.value_min, self.value_max) {
            (Some(sum), Some(min), Some(max)) if min <= max => Some(Values {
                count: count("value_count", self.value_count.unwrap_or(self.event_count))?,
                sum: decimal("value_sum", sum)?.units(),
                min,
                max,
            }),
            (None, None, None) => None,
            _ => return Err(MalformedRollup("value_sum")),
        };
        let rollup = Rollup {
            count: count("event_count", self.event_count)?,
            by_status: [
                count("success_count", self.success_count)?,
                count("error_count", self.error_count)?,
                count("timeout_count", self.timeout_count)?,
                count("cancelled_count", self.cancelled_count)?,
            ],
            execution_time,
            input_tokens: count("input_tokens", self.input_tokens)?,
            output_tokens: count("output_tokens", self.output_tokens)?,
            cost: decimal("cost_usd", &self.cost_usd)?,
            commands_executed: count("commands_executed", self.commands_executed)?,
            values,
        };
        let series = Series {
            kind: self.kind,
            name: self.name,
            model: self.model,
            team_id: self.team_id,
            project_id: self.project_id,
            user_id: self.user_id,
        };
        Ok((self.bucket_start, series, rollup))
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn decimal(name: &'static str, text: &str) -> Result<Usd, MalformedRollup> {
    text.parse().map_err(|_| MalformedRollup(name))
}

/// serde takes a `Vec<u8>` for a sequence; Avro has bytes.
mod bytes {
    use std::fmt;

    use serde::{Deserializer, Serializer, de::Visitor};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        d.deserialize_bytes(Bytes)
    }
}
