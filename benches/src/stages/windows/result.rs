//! Results as lines of text, the same from every engine: scope, window, organization, team,
//! user, name, start of the bucket in seconds since the Unix epoch, count, errors, sum, minimum
//! and maximum in milliseconds, separated by commas; team and user are empty where the scope
//! does not tell them apart. In any order.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use schemas::event::Status;
use sink::memory::MemoryRollups;
use uuid::Uuid;

/// Writes our results.
pub(super) fn write(path: &Path, rollups: &MemoryRollups) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let text = |id: Option<Uuid>| id.map_or_else(String::new, |id| id.to_string());
    for row in rollups.rows() {
        let (series, rollup) = (row.series, row.rollup);
        let time = rollup.execution_time.as_ref();
        writeln!(
            file,
            "{},{},{},{},{},{},{},{},{},{},{},{}",
            row.scope.as_str(),
            row.window,
            row.organization_id,
            text(series.team_id),
            text(series.user_id),
            series.name,
            row.bucket_start.micros() / 1_000_000,
            rollup.count,
            rollup.with_status(Status::Error),
            time.map_or(0, |t| t.sum),
            time.map_or(0, |t| t.min),
            time.map_or(0, |t| t.max),
        )?;
    }
    file.flush()?;
    Ok(())
}
