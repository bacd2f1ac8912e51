//! What a job is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use platform::lifecycle::Shutdown;
use serde_json::Value;
use sqlx::PgPool;

/// What is known of a job beforehand.
#[derive(Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name: in commands, in the history and as a metric's label.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// When it runs unless configured otherwise; see [`crate::schedule::Schedule`].
    pub schedule: &'static str,
    /// How long an attempt may take.
    pub timeout: Duration,
}

impl Spec {
    /// The variable that overrides the schedule.
    pub fn variable(&self) -> String {
        format!(
            "JOB_{}_SCHEDULE",
            self.name.to_uppercase().replace('-', "_")
        )
    }
}

/// Something that is done again and again, and does no harm when done twice.
pub trait Job: Send + Sync {
    /// What is known of it.
    fn spec(&self) -> &'static Spec;

    /// Does it once. It looks at `run.stop` wherever it can end, and says what it did, for the
    /// history.
    ///
    /// # Errors
    /// Whatever keeps it from being done; it is tried again.
    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, anyhow::Result<Value>>;
}

/// What an attempt has to work with.
pub struct Run {
    /// Of its row in the history.
    pub(crate) id: i64,
    /// Connections of the role `flowmeter_jobs`.
    pub pool: PgPool,
    /// Triggered when it is to end: by its timeout, the shutdown, or because the process leads
    /// no more.
    pub stop: Shutdown,
    /// Told how far it is; see [`Run::progress`].
    pub(crate) told: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Run {
    /// Tells whoever watches how far it is.
    pub fn progress(&self, text: &str) {
        (self.told)(text);
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it is for.
    Succeeded,
    /// It said why not.
    Failed,
    /// It took too long.
    TimedOut,
    /// It was told to end, and is done again soon.
    Interrupted,
    /// Its process died.
    Abandoned,
}

impl Outcome {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Interrupted,
        Self::Abandoned,
    ];

    /// As the history and the metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::Abandoned => "abandoned",
        }
    }

    /// The outcome of a name.
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
