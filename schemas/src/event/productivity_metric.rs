//! A measured value.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Common, checks, common};
use crate::{Timestamp, fault::Faults, free_object::FreeObject, json::ObjectReader};

/// Largest magnitude of a value. Larger ones could not be summed exactly to the twelfth
/// decimal, and no measure of productivity comes near.
pub(super) const MAX_VALUE: f64 = 1e18;

/// A measured value: topic `metrics.productivity-metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the Avro schema documents the fields")]
pub struct ProductivityMetric {
    pub event_id: Uuid,
    pub organization_id: Uuid,
    pub timestamp: Timestamp,
    #[serde(default)]
    pub user_id: Option<Uuid>,
    #[serde(default)]
    pub team_id: Option<Uuid>,
    #[serde(default)]
    pub project_id: Option<Uuid>,
    pub metric_type: String,
    pub metric_value: f64,
    #[serde(default)]
    pub metric_unit: Option<String>,
    #[serde(default)]
    pub dimensions: Option<FreeObject>,
}

const fn same(user: Option<Uuid>) -> Option<Uuid> {
    user
}

impl ProductivityMetric {
    common!(same);

    /// What cannot be read is reported and replaced, so that the rest is judged as well.
    pub(super) fn from_json(c: Common, r: &mut ObjectReader<'_>, faults: &mut Faults) -> Self {
        Self {
            event_id: c.event_id,
            organization_id: c.organization_id,
            timestamp: c.timestamp,
            user_id: c.user_id,
            team_id: c.team_id,
            project_id: c.project_id,
            metric_type: r
                .required("metric_type", ObjectReader::string, faults)
                .unwrap_or_default(),
            metric_value: r
                .required("metric_value", ObjectReader::number, faults)
                .unwrap_or_default(),
            metric_unit: r.string("metric_unit", faults),
            dimensions: r.object("dimensions", faults),
        }
    }

    pub(super) fn check(&mut self, faults: &mut Faults) {
        checks::text("/metric_type", &self.metric_type, 1..=100, faults);
        let mut letters = self.metric_type.bytes();
        let is_name = letters.next().is_some_and(|b| b.is_ascii_lowercase())
            && letters.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'));
        if !is_name {
            faults.push(
                "/metric_type",
                "pattern",
                "must match [a-z][a-z0-9_.]{0,99}",
            );
        }
        checks::number(
            "/metric_value",
            self.metric_value,
            -MAX_VALUE..=MAX_VALUE,
            faults,
        );
        // Two zeros would be two minima.
        self.metric_value += 0.0;
        checks::optional_text("/metric_unit", self.metric_unit.as_deref(), 0..=50, faults);
        checks::object("/dimensions", &mut self.dimensions, faults);
    }
}
