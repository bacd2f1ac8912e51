//! The workload as files, for engines that are not of this program.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use schemas::event::Status;

use crate::{harness::Context, workload::Workload};

/// Two files in the scratch folder.
#[derive(Debug)]
pub(super) struct Input {
    /// A line for each series: organization, team, user, name, separated by commas.
    pub(super) series: PathBuf,
    /// 20 bytes an event, little-endian: number of the series (`u32`), event time in
    /// microseconds since the Unix epoch (`i64`), execution time in milliseconds (`u32`), and
    /// 1 if it was an error (`u32`).
    pub(super) events_file: PathBuf,
    /// How many.
    pub(super) events: u64,
}

impl Input {
    /// Writes both.
    pub(super) fn write(context: &Context, events: u64, series: u32) -> anyhow::Result<Self> {
        let mut workload = Workload::new(context.options.seed, series);
        let input = Self {
            series: context.scratch.join("series.csv"),
            events_file: context.scratch.join("events.bin"),
            events,
        };
        let mut file = BufWriter::new(File::create(&input.series)?);
        for series in workload.series() {
            let (team, user) = (series.team, series.user);
            writeln!(
                file,
                "{},{team},{user},{}",
                series.organization, series.name
            )?;
        }
        file.flush()?;
        let mut file = BufWriter::new(File::create(&input.events_file)?);
        for _ in 0..events {
            let draft = workload.draft();
            file.write_all(&draft.series.to_le_bytes())?;
            file.write_all(&draft.timestamp_micros.to_le_bytes())?;
            file.write_all(&draft.millis.to_le_bytes())?;
            file.write_all(&u32::from(draft.status == Status::Error).to_le_bytes())?;
        }
        file.flush()?;
        Ok(input)
    }
}
