//! A day's rollups.

use std::{collections::HashMap, fmt::Write as _};

use chrono::{DateTime, Utc};
use platform::database::rollup_columns::RollupColumns;
use schemas::{
    Event, Rollup, Timestamp, Window,
    rollup::{Scope, Series},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::copy::{self, field, optional};

const WINDOWS: [Window; 2] = [Window::H1, Window::D1];
const COLUMNS: &str = "organization_id, scope, bucket_start, series_id, kind, name, model, team_id, \
    project_id, user_id, event_count, success_count, error_count, timeout_count, cancelled_count, \
    execution_time_sum, execution_time_min, execution_time_max, histogram, input_tokens, \
    output_tokens, cost_usd, value_sum, value_min, value_max, value_count, commands_executed";

/// The tables that are filled.
pub(crate) fn tables() -> impl Iterator<Item = String> {
    WINDOWS
        .into_iter()
        .map(|window| format!("rollups_{window}"))
        .chain(["rollups_1d_by_user".to_owned()])
}

/// What events add up to.
#[derive(Default)]
pub(crate) struct Rollups {
    rows: HashMap<(Window, Scope, Timestamp, Series), Rollup>,
}

impl Rollups {
    pub(crate) fn add(&mut self, event: &Event) {
        let (series, rollup) = (Series::of(event), Rollup::of(event));
        let at = event.common().timestamp;
        for window in WINDOWS {
            for scope in Scope::ALL {
                let key = (window, scope, window.start(at), series.within(scope));
                self.rows.entry(key).or_default().merge(&rollup);
            }
        }
    }

    /// Writes them, and gives how many there were.
    pub(crate) async fn store(
        self,
        connection: &mut PgConnection,
        organization: Uuid,
    ) -> anyhow::Result<usize> {
        for window in WINDOWS {
            let mut lines = String::new();
            let rows = self.rows.iter().filter(|((w, ..), _)| *w == window);
            for ((_, scope, bucket, series), rollup) in rows {
                write!(
                    lines,
                    "{organization}\t{}\t{}\t{}\t{}\t{}\t",
                    scope.as_str(),
                    DateTime::<Utc>::from(*bucket).to_rfc3339(),
                    series.id(),
                    series.kind.as_str(),
                    series.name
                )?;
                optional(&mut lines, series.model.as_ref())?;
                optional(&mut lines, series.team_id)?;
                optional(&mut lines, series.project_id)?;
                optional(&mut lines, series.user_id)?;
                measures(&mut lines, &RollupColumns::of(rollup))?;
            }
            copy::lines(connection, &format!("rollups_{window}"), COLUMNS, lines).await?;
        }
        Ok(self.rows.len())
    }
}

fn measures(lines: &mut String, c: &RollupColumns) -> std::fmt::Result {
    for count in [
        c.event_count,
        c.success_count,
        c.error_count,
        c.timeout_count,
        c.cancelled_count,
    ] {
        field(lines, count)?;
    }
    field(lines, &c.execution_time_sum)?;
    optional(lines, c.execution_time_min)?;
    optional(lines, c.execution_time_max)?;
    lines.push_str("\\\\x");
    for byte in &c.histogram {
        write!(lines, "{byte:02x}")?;
    }
    lines.push('\t');
    for wide in [&c.input_tokens, &c.output_tokens, &c.cost_usd] {
        field(lines, wide)?;
    }
    optional(lines, c.value_sum.as_ref())?;
    optional(lines, c.value_min)?;
    optional(lines, c.value_max)?;
    optional(lines, c.value_count)?;
    writeln!(lines, "{}", c.commands_executed)
}
