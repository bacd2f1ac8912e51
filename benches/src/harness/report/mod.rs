//! `bench-report.md`, `bench-report.json` and a plot of each comparison.

mod markdown;
mod plot;

use std::{collections::BTreeMap, fs, path::Path};

use serde::Serialize;

use super::{Context, Outcome, yardstick::Yardstick};

/// A stage that ran.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// What it came to, or why it could not be measured.
    pub outcome: Result<Outcome, String>,
    /// How long all of it took, with preparations and checks, in seconds.
    pub took_seconds: f64,
    /// How fast the machine was before and after.
    pub yardstick: [Yardstick; 2],
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// As it was started.
    pub command: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// `short` or `full`.
    pub form: &'static str,
    /// Of the workloads.
    pub seed: u64,
    /// What it ran on.
    pub machine: BTreeMap<String, String>,
    /// In the order they ran.
    pub stages: Vec<Section>,
}

impl Report {
    /// Writes all files into `folder`, which is made; older ones are replaced.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        for section in &self.stages {
            for comparison in section.outcome.iter().flat_map(|o| &o.comparisons) {
                let file = plot_name(section.name, &comparison.name);
                fs::write(folder.join(file), plot::draw(comparison))?;
            }
        }
        fs::write(
            folder.join("bench-report.json"),
            serde_json::to_string_pretty(self)?,
        )?;
        fs::write(folder.join("bench-report.md"), markdown::write(self))?;
        Ok(())
    }

    /// Runs the stages one after another. Each is written as soon as it has ended, so that an
    /// interrupted run leaves what it had.
    ///
    /// # Errors
    /// If the report cannot be written.
    pub fn fill(
        &mut self,
        stages: Vec<Box<dyn super::Stage>>,
        context: &Context,
        folder: &Path,
    ) -> anyhow::Result<()> {
        for mut stage in stages {
            context.say(format!("{}: {}", stage.name(), stage.about()));
            let before = Yardstick::measure();
            let began = std::time::Instant::now();
            let outcome = stage.run(context).map_err(|error| format!("{error:#}"));
            if let Err(reason) = &outcome {
                context.say(format!("{}: not measured: {reason}", stage.name()));
            }
            self.stages.push(Section {
                name: stage.name(),
                about: stage.about(),
                outcome,
                took_seconds: began.elapsed().as_secs_f64(),
                yardstick: [before, Yardstick::measure()],
            });
            self.write(folder)?;
        }
        Ok(())
    }
}

/// The file of a comparison's plot.
fn plot_name(stage: &str, comparison: &str) -> String {
    let name = format!("{stage}-{comparison}").to_lowercase();
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("{name}.svg")
}
