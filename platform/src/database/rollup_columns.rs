//! A rollup as the columns of its table: what the sink writes and the query API reads.

use schemas::{
    Rollup, Usd,
    rollup::{ExecutionTime, Histogram, Values},
};

/// The columns as a query must select them; no table may be joined that has any of these.
pub const SELECTED: &str = "event_count, success_count, error_count, timeout_count, \
    cancelled_count, execution_time_sum::text, execution_time_min, execution_time_max, histogram, \
    input_tokens::text, output_tokens::text, cost_usd::text, value_sum::text, value_min, value_max, \
    value_count, commands_executed::text";

/// What the rows of `rollups_1d_by_user` are, by the rollups that they follow from: for tools
/// that write rollups by other ways than the sink, and for whoever compares.
pub const BY_USER: &str = "\
    select organization_id, bucket_start, user_id, team_id, \
        coalesce(sum(event_count) filter (where kind = 'command'), 0)::bigint as command_count, \
        coalesce(sum(error_count) filter (where kind = 'command'), 0)::bigint as command_error_count, \
        coalesce(sum(event_count) filter (where kind = 'agent'), 0)::bigint as agent_count, \
        coalesce(sum(error_count) filter (where kind = 'agent'), 0)::bigint as agent_error_count, \
        coalesce(sum(input_tokens) filter (where kind = 'agent'), 0) as input_tokens, \
        coalesce(sum(output_tokens) filter (where kind = 'agent'), 0) as output_tokens, \
        coalesce(sum(cost_usd) filter (where kind = 'agent'), 0) as cost_usd \
    from flowmeter.rollups_1d where scope = 'user' \
    group by organization_id, bucket_start, user_id, team_id";

/// The columns that are added up. Wide numbers are text, for want of a type that both sides
/// share.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct RollupColumns {
    pub event_count: i64,
    pub success_count: i64,
    pub error_count: i64,
    pub timeout_count: i64,
    pub cancelled_count: i64,
    pub execution_time_sum: String,
    pub execution_time_min: Option<i64>,
    pub execution_time_max: Option<i64>,
    pub histogram: Vec<u8>,
    pub input_tokens: String,
    pub output_tokens: String,
    pub cost_usd: String,
    pub value_sum: Option<String>,
    pub value_min: Option<f64>,
    pub value_max: Option<f64>,
    pub value_count: Option<i64>,
    pub commands_executed: String,
}

/// The most that `numeric(38, 12)` holds, in units of its last digit. It is also enough for
/// sums of values: 10²⁶ of them.
const MOST_UNITS: i128 = 10i128.pow(38) - 1;

impl RollupColumns {
    /// The columns of a rollup. What no column could hold stays at the column's end, as it
    /// would at the end of its own type.
    pub fn of(rollup: &Rollup) -> Self {
        let time = rollup.execution_time.as_ref();
        let values = rollup.values.as_ref();
        let [success, error, timeout, cancelled] = rollup.by_status.map(signed);
        Self {
            event_count: signed(rollup.count),
            success_count: success,
            error_count: error,
            timeout_count: timeout,
            cancelled_count: cancelled,
            execution_time_sum: time.map_or(0, |t| t.sum).to_string(),
            execution_time_min: time.map(|t| signed(t.min)),
            execution_time_max: time.map(|t| signed(t.max)),
            histogram: time.map(|t| t.histogram.to_bytes()).unwrap_or_default(),
            input_tokens: rollup.input_tokens.to_string(),
            output_tokens: rollup.output_tokens.to_string(),
            cost_usd: decimal(rollup.cost.units()),
            value_sum: values.map(|v| decimal(v.sum)),
            value_min: values.map(|v| v.min),
            value_max: values.map(|v| v.max),
            // Null when every event has a value, as in rows from before the column.
            value_count: values
                .filter(|v| v.count != rollup.count)
                .map(|v| signed(v.count)),
            commands_executed: rollup.commands_executed.to_string(),
        }
    }

    /// The columns by their names, for PostgreSQL's `jsonb_populate_record`.
    pub fn to_json(&self) -> serde_json::Value {
        let histogram: String = self.histogram.iter().map(|b| format!("{b:02x}")).collect();
        serde_json::json!({
            "event_count": self.event_count,
            "success_count": self.success_count,
            "error_count": self.error_count,
            "timeout_count": self.timeout_count,
            "cancelled_count": self.cancelled_count,
            "execution_time_sum": self.execution_time_sum,
            "execution_time_min": self.execution_time_min,
            "execution_time_max": self.execution_time_max,
            "histogram": format!("\\x{histogram}"),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": self.cost_usd,
            "value_sum": self.value_sum,
            "value_min": self.value_min,
            "value_max": self.value_max,
            "value_count": self.value_count,
            "commands_executed": self.commands_executed,
        })
    }

    /// The rollup of columns.
    ///
    /// # Errors
    /// The name of a column that holds what no rollup can.
    pub fn rollup(&self) -> Result<Rollup, &'static str> {
        let execution_time = match (self.execution_time_min, self.execution_time_max) {
            (Some(min), Some(max)) => Some(ExecutionTime {
                sum: number("execution_time_sum", &self.execution_time_sum)?,
                min: unsigned("execution_time_min", min)?,
                max: unsigned("execution_time_max", max)?,
                histogram: Histogram::from_bytes(&self.histogram).map_err(|_| "histogram")?,
            }),
            (None, None) => None,
            _ => return Err("execution_time_min"),
        };
        let values = match (&self.value_sum, self.value_min, self.value_max) {
            (Some(sum), Some(min), Some(max)) => Some(Values {
                count: unsigned("value_count", self.value_count.unwrap_or(self.event_count))?,
                sum: number::<Usd>("value_sum", sum)?.units(),
                min,
                max,
            }),
            (None, None, None) => None,
            _ => return Err("value_sum"),
        };
        Ok(Rollup {
            count: unsigned("event_count", self.event_count)?,
            by_status: [
                unsigned("success_count", self.success_count)?,
                unsigned("error_count", self.error_count)?,
                unsigned("timeout_count", self.timeout_count)?,
                unsigned("cancelled_count", self.cancelled_count)?,
            ],
            execution_time,
            input_tokens: number("input_tokens", &self.input_tokens)?,
            output_tokens: number("output_tokens", &self.output_tokens)?,
            cost: number("cost_usd", &self.cost_usd)?,
            commands_executed: number("commands_executed", &self.commands_executed)?,
            values,
        })
    }
}

fn decimal(units: i128) -> String {
    Usd::from_units(units.clamp(-MOST_UNITS, MOST_UNITS)).to_string()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(name: &'static str, number: i64) -> Result<u64, &'static str> {
    u64::try_from(number).map_err(|_| name)
}

fn number<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_time()(sum in any::<u64>(), min in 0..=i64::MAX as u64, max in 0..=i64::MAX as u64,
            times in prop::collection::vec(0_u64..4_000_000, 0..9)) -> ExecutionTime {
            let mut histogram = Histogram::default();
            for time in times {
                histogram.add(time);
            }
            ExecutionTime { sum, min, max, histogram }
        }
    }

    prop_compose! {
        fn any_values()(count in 0..=i64::MAX as u64, sum in -MOST_UNITS..=MOST_UNITS, min in -1e18..1e18, max in -1e18..1e18) -> Values {
            Values { count, sum, min, max }
        }
    }

    proptest! {
        #[test]
        fn columns_give_the_rollup_back(
            count in 0..=i64::MAX as u64,
            by_status in prop::array::uniform4(0..=i64::MAX as u64),
            execution_time in prop::option::of(any_time()),
            input_tokens in any::<u64>(),
            output_tokens in any::<u64>(),
            cost in -MOST_UNITS..=MOST_UNITS,
            commands_executed in any::<u64>(),
            values in prop::option::of(any_values()),
        ) {
            let rollup = Rollup {
                count, by_status, execution_time, input_tokens, output_tokens,
                cost: Usd::from_units(cost), commands_executed, values,
            };
            prop_assert_eq!(RollupColumns::of(&rollup).rollup(), Ok(rollup));
        }
    }

    #[test]
    fn what_no_column_holds_stays_at_its_end() {
        let rollup = Rollup {
            count: u64::MAX,
            cost: Usd::from_units(i128::MIN),
            ..Rollup::default()
        };
        let columns = RollupColumns::of(&rollup);
        assert_eq!(columns.event_count, i64::MAX);
        assert_eq!(columns.cost_usd, "-99999999999999999999999999.999999999999");
    }

    #[test]
    fn a_column_that_is_no_rollups_is_named() {
        let mut columns = RollupColumns::of(&Rollup::default());
        columns.error_count = -1;
        assert_eq!(columns.rollup(), Err("error_count"));
        columns.error_count = 0;
        columns.value_min = Some(1.0);
        assert_eq!(columns.rollup(), Err("value_sum"));
    }
}
