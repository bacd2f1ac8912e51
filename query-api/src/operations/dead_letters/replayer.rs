//! Who sends dead letters again: the log, which this service knows nothing of. The process that
//! starts it hands one in.

use futures_util::future::BoxFuture;
use platform::lifecycle::Shutdown;
use schemas::{Timestamp, dead_letter::Position};
use uuid::Uuid;

/// Which letters to send again. All filters must agree; open letters alone are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Whose.
    pub organization: Uuid,
    /// With this reason's code.
    pub reason: Option<String>,
    /// Of records of this topic.
    pub topic: Option<String>,
    /// Of records of this program; with `*` at the end, of all that begin so; or `unknown`.
    pub client: Option<String>,
    /// Of records that the log took at this instant or later.
    pub from: Option<Timestamp>,
    /// Of records that the log took before this instant.
    pub to: Option<Timestamp>,
    /// Of the records at these places; of none: at any.
    pub ids: Vec<Position>,
    /// The most letters, the oldest records first.
    pub limit: usize,
    /// Say what would be sent, and send nothing.
    pub dry_run: bool,
}

/// Letters with the same reason, client and topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayGroup {
    /// Why they were refused, as a code.
    pub reason: String,
    /// The program the records came from, or `unknown`.
    pub client: String,
    /// The topic they were refused from.
    pub topic: String,
    /// How many.
    pub count: usize,
}

/// What became of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Open letters that were, or would be, sent again.
    pub matched: usize,
    /// These in groups.
    pub groups: Vec<ReplayGroup>,
    /// Open letters that cannot be sent again, likewise.
    pub not_replayable: Vec<ReplayGroup>,
    /// Letters whose record is in its topic again.
    pub replayed: usize,
    /// Letters that the log did not take, and why.
    pub refused: Vec<(Position, String)>,
    /// Letters that were removed from the log meanwhile.
    pub gone: usize,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Why nothing, or not all, was sent again. What was sent stays sent, and is sent once.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFailure {
    /// Another replay has begun, and this one ended.
    #[error("another replay has begun")]
    TakenOver,
    /// It was stopped before it knew what is open.
    #[error("stopped before anything was done")]
    Stopped,
    /// The log is away, or failed.
    #[error(transparent)]
    Log(#[from] anyhow::Error),
}

/// Sends dead letters again.
pub trait Replayer: Send + Sync {
    /// Sends the letters of a request again, each once however often it is asked, until `stop`.
    fn replay(
        &self,
        request: Replay,
        stop: Shutdown,
    ) -> BoxFuture<'static, Result<Replayed, ReplayFailure>>;
}
