//! What a client is told, in JSON.

use std::borrow::Cow;

use schemas::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::aggregated::row::AggregatedRow;

/// A message of `/live`. A client keeps the rows by bucket and group: a snapshot replaces all
/// of them, and each row of a delta the one of its bucket and group. Rows of buckets before
/// `from` are to be let go.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = LiveMessage)]
pub(crate) enum Message {
    /// All rows of the view.
    Snapshot {
        /// To go on from here after the connection broke.
        cursor: String,
        /// The rows' window.
        #[schema(example = "1m")]
        window: &'static str,
        /// By what the rows are grouped.
        group_by: &'static str,
        /// The view's oldest bucket.
        #[schema(format = DateTime)]
        from: String,
        /// No event from before this instant is expected any more. Null while that is not
        /// known.
        #[schema(format = DateTime, required = true)]
        watermark: Option<String>,
        rows: Vec<AggregatedRow>,
    },
    /// Rows as they are now that were new or different since the message before. It may have
    /// none, when only the watermark moved.
    Delta {
        cursor: String,
        #[schema(format = DateTime)]
        from: String,
        #[schema(format = DateTime, required = true)]
        watermark: Option<String>,
        rows: Vec<AggregatedRow>,
    },
    /// What was told before does not lead on to what comes; a snapshot follows.
    Gap { reason: Gap },
    /// Nothing has changed; comes every 15 seconds.
    Ping {
        cursor: String,
        #[schema(format = DateTime)]
        from: String,
        #[schema(format = DateTime, required = true)]
        watermark: Option<String>,
    },
    /// The last message.
    End {
        #[schema(value_type = String, example = "token_expired")]
        code: Cow<'static, str>,
    },
}

/// Why a client gets a new snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gap {
    /// The cursor is of another instance, or of this one before it was started again.
    CursorUnknown,
    /// The cursor is of other parameters or another organization.
    CursorOfAnotherView,
    /// The client read too slowly.
    SlowClient,
    /// There is no room for all buckets: the oldest were let go.
    TooManyRows,
}

impl Message {
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }
}

pub(crate) fn text(timestamp: Option<Timestamp>) -> Option<String> {
    timestamp.map(|timestamp| timestamp.to_string())
}
